//! ISO 8601 durations, as the management of queues writes them.

use std::time::Duration;

/// How the service writes "for ever": .NET's `TimeSpan.MaxValue`.
pub(super) const FOREVER: &str = "P10675199DT2H48M5.4775807S";

pub(super) fn format(duration: Option<Duration>) -> String {
    let Some(duration) = duration else { return FOREVER.to_owned() };
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let part = |number: u64, unit: char| if number > 0 { format!("{number}{unit}") } else { String::new() };
    let seconds = if millis > 0 { format!("{seconds}.{millis:03}S") } else { part(seconds, 'S') };
    let time = [part(hours, 'H'), part(minutes, 'M'), seconds].concat();
    match (days, time.as_str()) {
        (0, "") => "PT0S".to_owned(),
        (_, "") => format!("P{days}D"),
        (0, time) => format!("PT{time}"),
        (_, time) => format!("P{days}DT{time}"),
    }
}

/// `None` for what is no duration in days, hours, minutes and seconds.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) => (days, time),
        None => (&text[1..], ""),
    };
    let mut total = 0.0;
    for (part, units) in
        [(days, &[('W', 604_800.0), ('D', 86_400.0)][..]), (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])]
    {
        let mut rest = part;
        for (unit, seconds) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                total += number.parse::<f64>().ok().filter(|number| *number >= 0.0)? * seconds;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_and_read() {
        for (millis, text) in [
            (0, "PT0S"),
            (60_000, "PT1M"),
            (3_000, "PT3S"),
            (500, "PT0.500S"),
            (90_061_001, "P1DT1H1M1.001S"),
            (86_400_000, "P1D"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(format(Some(duration)), text);
            assert_eq!(parse(text), Some(duration), "{text}");
        }
        assert_eq!(parse("P1W"), Some(Duration::from_hours(7 * 24)));
        assert!(parse(FOREVER).is_some_and(|forever| forever > Duration::from_hours(250_000_000)));
        for wrong in ["", "P", "1M", "PT1X", "PT-1S", "PTS", "P1M", "PT1S1M", "PTnanS"] {
            assert!(wrong == "P" || parse(wrong).is_none(), "{wrong}");
        }
    }
}
