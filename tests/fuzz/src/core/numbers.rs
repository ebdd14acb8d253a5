//! Numbers of a payload: accepted exactly if the decimal value survives an IEEE double and lies in DynamoDB's range.

use bridge_core::{envelope, limits};

const BEFORE: &str = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"update","timestamp":"2026-11-21T01:02:03Z","key":"k","payload":{"n":"#;

/// The oracle is arithmetic of another kind: the double, written exactly to as many digits as the number has.
pub(crate) fn run(bytes: &[u8]) {
    const CHARACTERS: &[u8; 16] = b"0123456789-+.eE9";
    let number: String = bytes.iter().map(|byte| char::from(CHARACTERS[usize::from(byte & 15)])).collect();
    let Ok(double) = number.parse::<f64>() else { return };
    if serde_json::from_str::<f64>(&number).is_err() {
        return;
    }
    let accepted = envelope::decode(format!("{BEFORE}{number}}}}}").as_bytes(), "/id").is_ok();
    let in_range = double == 0.0 || limits::NUMBER_MAGNITUDE.contains(&double.abs());
    let digits = significant(&number);
    // Seventeen digits tell all doubles apart (IEEE 754), so the shortest form of none has more.
    let survives = match digits.len() {
        0 => true,
        count @ 1..=17 => {
            let exact = format!("{:.*e}", count - 1, double.abs());
            let (mantissa, exponent) = exact.split_once('e').unwrap();
            double != 0.0 && mantissa.replace('.', "") == digits && exponent.parse() == Ok(magnitude(&number))
        }
        _ => false,
    };
    if accepted {
        assert!(in_range && survives, "{number} is rounded to {double:e}");
    } else if digits.len() <= 15 {
        assert!(!in_range || !survives, "{number} is held exactly as {double:e}, and refused");
    }
}

/// The digits of a number without the zeros at either end.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// The power of ten of a number's first digit that is not zero.
fn magnitude(number: &str) -> i128 {
    let unsigned = number.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    // Beyond all measure: more than any double has.
    let exponent: i128 = exponent.parse().unwrap_or(1 << 100);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let leading = whole.trim_start_matches('0').len();
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    exponent + if leading > 0 { leading as i128 - 1 } else { -1 - zeros as i128 }
}
