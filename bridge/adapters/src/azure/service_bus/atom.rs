//! The little ATOM that a queue's description needs: the text of flat elements, and durations.

use std::time::Duration;

/// Longer than anybody means: the service says "for ever" as .NET's `TimeSpan.MaxValue`, 10,675,199 days ("Service Bus
/// queues", `DefaultMessageTimeToLive`, read 2026-11).
const FOR_EVER: Duration = Duration::from_hours(1_000_000 * 24);

/// The text of the first element of that name, whatever its prefix.
pub(super) fn text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, content) = after.split_once('>')?;
        let label = tag.split_whitespace().next().unwrap_or(tag);
        let local = label.rsplit(':').next().unwrap_or(label);
        if local == name && !tag.starts_with('/') && !tag.ends_with('/') {
            return content.split('<').next().map(str::trim);
        }
        rest = content;
    }
    None
}

/// A text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotADuration;

/// A duration of days, hours, minutes and seconds, ISO 8601; none if it is for ever.
pub(super) fn duration(text: &str) -> Result<Option<Duration>, NotADuration> {
    let (days, time) =
        text.strip_prefix('P').map(|rest| rest.split_once('T').unwrap_or((rest, ""))).ok_or(NotADuration)?;
    let mut seconds = 0.0;
    for (part, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])] {
        let mut rest = part;
        for (unit, unit_seconds) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let number = number.parse::<f64>().ok().filter(|number| *number >= 0.0).ok_or(NotADuration)?;
                seconds += number * unit_seconds;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return Err(NotADuration);
        }
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| NotADuration)?;
    Ok(Some(duration).filter(|duration| *duration < FOR_EVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_with_and_without_a_prefix() {
        let xml =
            r#"<entry><content type="x"><a:LockDuration xmlns:a="u"> PT30S </a:LockDuration><Empty/><Last>1</Last>"#;
        assert_eq!(text(xml, "LockDuration"), Some("PT30S"));
        assert_eq!(text(xml, "Last"), Some("1"));
        for absent in ["Empty", "Lock", "content type"] {
            assert_eq!(text(xml, absent), None, "{absent}");
        }
        assert_eq!(text("<<<", "x"), None);
    }

    #[test]
    fn durations_are_days_and_times() {
        let seconds = |text| duration(text).unwrap().map(|duration| duration.as_secs());
        assert_eq!(seconds("PT30S"), Some(30));
        assert_eq!(seconds("P14D"), Some(1_209_600));
        assert_eq!(seconds("P1DT1H1M1.5S"), Some(90_061));
        assert_eq!(duration("P10675199DT2H48M5.4775807S"), Ok(None), "for ever");
        for wrong in ["", "14D", "P1Y", "PT-1S", "PTnanS", "PT1X"] {
            assert_eq!(duration(wrong), Err(NotADuration), "{wrong}");
        }
    }
}
