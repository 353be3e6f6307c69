//! Units as people write them: durations ("10m"), percents ("0.1%") and byte sizes ("4MiB").

use std::time::Duration;

/// A number without needless zeros: 25.5, 1, 0.01.
pub(crate) fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// `500ms`, `10s`, `5m`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is not a duration: write it as 500ms, 10s, 5m, 1h or 2d");
    let (number, unit) = split(text).ok_or_else(error)?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// `0.1%` as the ratio 0.001.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    let error = || format!("{text:?} is not a share: write it as 0.1%, between 0% and 100%");
    match split(text).ok_or_else(error)? {
        (number, "%") if number <= 100.0 => Ok(number / 100.0),
        _ => Err(error()),
    }
}

/// `4MiB`, `64KiB`, `1GiB`, `1048576`.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let error = || format!("{text:?} is not a size: write it as 65536, 64KiB, 4MiB or 1GiB");
    let (number, unit) = split(text).ok_or_else(error)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(error()),
    };
    let size = number * factor;
    if size.fract() != 0.0 || size > 2f64.powi(40) {
        return Err(error());
    }
    Ok(size as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert!((ratio("0.1%").unwrap() - 0.001).abs() < 1e-15);
    }

    #[test]
    fn refuses_what_has_no_unit_or_a_wrong_one() {
        for bad in ["", "10", "ten s", "5 parsecs", "-1s", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["0.1", "101%", "%"] {
            assert!(ratio(bad).is_err(), "{bad}");
        }
        for bad in ["4MB", "1.5B", "MiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
