//! How long something takes, for people.

/// A span of time in words, as the dashboard's `assets/format.js` has it.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "spans are not negative, and end at centuries"
)]
pub fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3599.5 => format!("{} min {:02} s", whole / 60, whole % 60),
        s if s < 86_399.5 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_stands_in_the_units_that_suit_it() {
        let texts = [0.0, 0.0414, 3.04, 12.34, 119.0, 7_300.0, 200_000.0].map(span);
        assert_eq!(texts, ["0 ms", "41 ms", "3.04 s", "12.3 s", "1 min 59 s", "2 h 01 min", "2 d 07 h"]);
    }
}
