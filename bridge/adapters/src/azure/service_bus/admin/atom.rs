//! The little ATOM that a queue's description needs: the text of flat elements, and durations.

use std::{borrow::Cow, time::Duration};

use quick_xml::{Reader, escape::unescape, events::Event};

/// Longer than anybody means: the service says "for ever" as .NET's `TimeSpan.MaxValue`, 10,675,199 days ("Service Bus
/// queues", `DefaultMessageTimeToLive`, read 2026-11).
const FOR_EVER: Duration = Duration::from_hours(1_000_000 * 24);

/// The text of the first element of that name, whatever its prefix; none if it is missing, empty or not XML.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if tag.local_name().as_ref() == name => {
                let text = reader.read_text(tag.name()).ok()?.into_inner();
                return unescape(text.trim()).ok().map(Cow::into_owned);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// A text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotADuration;

/// A duration of days, hours, minutes and seconds, ISO 8601; none if it is for ever.
pub(crate) fn duration(text: &str) -> Result<Option<Duration>, NotADuration> {
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
        assert_eq!(text(xml, "LockDuration").as_deref(), Some("PT30S"));
        assert_eq!(text(xml, "Last").as_deref(), Some("1"));
        assert_eq!(text("<a>1 &lt; 2 &amp; 3</a>", "a").as_deref(), Some("1 < 2 & 3"));
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
