//! Text for people: tables, numbers with units, times, and the durations people write.

use std::time::Duration;

/// Faster than this is no pace.
const MAX_RATE: f64 = 1e6;

/// A table whose columns are as wide as their widest cell. The first column is aligned to the
/// left, the others to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a head.
    pub(crate) fn new(head: &[&str]) -> Table {
        Table {
            rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table's lines, indented by two spaces.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| {
                self.rows
                    .iter()
                    .filter_map(|r| r.get(c))
                    .map(|s| width(s))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - width(cell));
                line.push(' ');
                match column {
                    0 => line.extend([cell.as_str(), &pad]),
                    _ => line.extend([" ", &pad, cell.as_str()]),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Why a pair was not compared, for a person. A word that a newer proxy says stays as it is.
pub(crate) fn why_not_compared(word: &str) -> &str {
    match word {
        "queue_full" => "copies came faster than they could be sent",
        "over_bound" => "larger than the bounds on messages and memory",
        "deadline" => "no whole answer within the mirror's deadline",
        "cancelled" => "the client went away",
        "connect" => "the other arm could not be connected to",
        "descriptors" => {
            "neither arm's answer can be read by the descriptors: renew spec.descriptors.file, or \
             let reflection tell what the arms run"
        }
        "no_descriptor" => "no descriptor has the method",
        "comparer_failed" => "the comparison failed: a defect, please report it",
        other => other,
    }
}

/// Basis points as percent: `25.5 %`.
pub(crate) fn percent(basis_points: u32) -> String {
    let text = format!("{:.2}", f64::from(basis_points) / 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `part` of `whole` as percent, or a dash where there is no whole.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.01 => "<0.01 %".to_owned(),
        p => format!("{p:.2} %"),
    }
}

/// Microseconds as a person reads them: `950 µs`, `1.25 ms`, `3.10 s`.
pub(crate) fn micros(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Bytes as a person reads them: `48.0 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1u32 << 20))
}

/// A length of time in ms: `10m`, `1h30m`, `4.5s`.
pub(crate) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 if ms % 1000 == 0 => format!("{seconds}s"),
        0..60 => format!("{:.1}s", ms as f64 / 1000.0),
        60..3600 if seconds % 60 == 0 => format!("{}m", seconds / 60),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ if seconds % 3600 < 60 => format!("{}h", seconds / 3600),
        _ => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment, ms since the Unix epoch, as `2026-11-22 14:40:49Z`.
pub(crate) fn moment(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Reads `500ms`, `30s`, `10m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is not a duration: write it as 500ms, 30s, 10m or 1h");
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(error)?;
    let number: f64 = text[..end].parse().map_err(|_| error())?;
    let factor = match &text[end..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|_| error())
}

/// Reads `65536`, `64KiB`, `256MiB`, `1GiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let error = || format!("{text:?} is not a size: write it as 65536, 64KiB, 256MiB or 1GiB");
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| error())?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(error()),
    };
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// Reads `0` and `0.1%`, as a share of 1.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let error = || format!("{text:?} is not a share: write 0, or such as 0.1%, at most 100%");
    if text == "0" {
        return Ok(0.0);
    }
    let number = text.strip_suffix('%').ok_or_else(error)?;
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(error()),
    }
}

/// Calls per second, above 0.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err(format!(
            "{text:?} is not a number of calls above 0, at most {MAX_RATE}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(percent(2550), "25.5 %");
        assert_eq!(percent(10_000), "100 %");
        assert_eq!(share(1, 0), "-");
        assert_eq!(share(1, 1_000_000), "<0.01 %");
        assert_eq!(micros(950.0), "950 µs");
        assert_eq!(micros(1250.0), "1.25 ms");
        assert_eq!(length(90_000), "1m30s");
        assert_eq!(length(5_400_000), "1h30m");
        assert_eq!(moment(1_795_358_449_000), "2026-11-22 14:40:49Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00Z");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "10", "m", "5 parsecs", "-1s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_shares_are_read_with_their_units() {
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("7"), Ok(7));
        assert_eq!(parse_share("0"), Ok(0.0));
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        for bad in ["", "MiB", "1.5MiB", "4MB", "-1", "99999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        for bad in ["", "1", "0.1", "101%", "-1%", "%", "nan%"] {
            assert!(parse_share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["é".to_owned(), "10".to_owned()]);
        assert_eq!(table.render(), "  name   n\n  é     10\n");
    }
}
