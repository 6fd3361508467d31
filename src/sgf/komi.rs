//! KM in points, from the forms that servers and people write.

/// Fox's hundredths, and the points they stand for: the first three are stones (zi), two points each.
const FOX: [(f64, f64); 6] = [(275.0, 5.5), (325.0, 6.5), (375.0, 7.5), (550.0, 5.5), (650.0, 6.5), (750.0, 7.5)];

/// Largest komi that can be meant, in points: the whole board.
const KOMI_MAX: f64 = 361.0;

/// Komi in points; `None` where it is no number or an absurd one. `rules` is RU.
pub(super) fn points(raw: &str, rules: Option<&str>) -> Option<f32> {
    let written = number(raw)?;
    // No board has so many points, so these are Fox's whether AP says so or not.
    let fox = FOX.iter().find(|(hundredths, _)| *hundredths == written);
    let points = match fox {
        Some((_, points)) => *points,
        // Quarters only occur where stones are counted: 3 3/4 of them are 7.5 points.
        None if (written * 4.0).rem_euclid(2.0) == 1.0 && is_chinese(rules) => 2.0 * written,
        None => written,
    };
    (points.abs() <= KOMI_MAX).then_some(points as f32)
}

/// KM where it is a plain decimal number, as written.
pub fn plain(raw: &str) -> Option<f64> {
    let digits = raw.strip_prefix(['+', '-']).unwrap_or(raw);
    decimal(digits).filter(|(_, rest)| rest.is_empty())?;
    raw.parse().ok().filter(|komi: &f64| komi.is_finite())
}

/// A decimal number without sign, exponent or thousands at the start of a text, and what follows it.
pub(super) fn decimal(text: &str) -> Option<(f64, &str)> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let n_whole = digits(0);
    let mut end = n_whole;
    if text[end..].starts_with('.') {
        let n_fraction = digits(end + 1);
        if n_whole + n_fraction > 0 {
            end += 1 + n_fraction;
        }
    }
    let value = text[..end].parse().ok()?;
    Some((value, &text[end..]))
}

/// A number the way people write it: `6,5`, `5 1/2`, `1/2`, `6.5 points`. Also what follows it.
pub(super) fn loose_decimal(text: &str) -> Option<(f64, &str)> {
    let (whole, rest) = decimal(text)?;
    if let Some(fraction) = rest.strip_prefix(',') {
        let n = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if matches!(n, 1 | 2) {
            let tenths: f64 = fraction[..n].parse().ok()?;
            return Some((whole + tenths / 10_f64.powi(n as i32), &fraction[n..]));
        }
    }
    if let Some((quotient, rest)) = rest.strip_prefix('/').and_then(|divisor| over(whole, divisor)) {
        return Some((quotient, rest));
    }
    let mixed = rest.trim_start_matches([' ', '又', 'と', '과']);
    if mixed.len() < rest.len()
        && let Some((upper, after)) = decimal(mixed)
        && let Some((quotient, rest)) = after.strip_prefix('/').and_then(|divisor| over(upper, divisor))
    {
        return Some((whole + quotient, rest));
    }
    Some((whole, rest))
}

fn over(upper: f64, divisor: &str) -> Option<(f64, &str)> {
    let (lower, rest) = decimal(divisor)?;
    (lower > 0.0).then_some((upper / lower, rest))
}

fn number(raw: &str) -> Option<f64> {
    let raw = raw.trim();
    let sign = if raw.starts_with('-') { -1.0 } else { 1.0 };
    let (value, rest) = loose_decimal(raw.strip_prefix(['+', '-']).unwrap_or(raw))?;
    let words = rest.trim_start();
    let unit_follows = words.chars().all(|c| c.is_alphabetic() || c == ' ' || c == '.') && !words.starts_with('.');
    (unit_follows && value.is_finite()).then_some(sign * value)
}

fn is_chinese(rules: Option<&str>) -> bool {
    let rules = rules.unwrap_or_default().to_lowercase();
    rules.contains("chinese") || rules == "cn" || rules.contains("中国") || rules.contains("中國")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_in_use() {
        let cases = [
            ("6.5", "", Some(6.5), Some(6.5)),
            (".5", "", Some(0.5), Some(0.5)),
            ("7.", "", Some(7.0), Some(7.0)),
            ("+6.5", "", Some(6.5), Some(6.5)),
            ("-5.5", "", Some(-5.5), Some(-5.5)),
            ("6,5", "", None, Some(6.5)),
            ("6.5 points", "", None, Some(6.5)),
            ("6.5目", "", None, Some(6.5)),
            ("5 1/2", "", None, Some(5.5)),
            ("1/2", "", None, Some(0.5)),
            ("3.75", "Chinese", Some(3.75), Some(7.5)),
            ("3 3/4", "Chinese", None, Some(7.5)),
            ("3.75", "Japanese", Some(3.75), Some(3.75)),
            ("7.5", "Chinese", Some(7.5), Some(7.5)),
            ("-3.75", "Chinese", Some(-3.75), Some(-7.5)),
            ("375", "", Some(375.0), Some(7.5)),
            ("650", "Japanese", Some(650.0), Some(6.5)),
            ("1071644672", "", Some(1_071_644_672.0), None),
            ("1e1", "", None, None),
            ("1e309", "", None, None),
            ("6.5.5", "", None, None),
            ("nan", "", None, None),
            ("inf", "", None, None),
            ("?", "", None, None),
            ("", "", None, None),
            (".", "", None, None),
            ("--5", "", None, None),
            ("1/0", "", None, None),
        ];
        for (raw, rules, expected_plain, expected) in cases {
            assert_eq!(plain(raw), expected_plain, "{raw} plain");
            assert_eq!(points(raw, Some(rules)), expected, "{raw}");
        }
    }
}
