use std::fmt;
use std::str::FromStr;

/// A number of bytes, written as people write it: `2GiB`, `512M`, `1.5 GB`, `4096`.
///
/// `K`, `M`, `G` and `T`, alone or with `iB`, are powers of 1024; with `B` they are powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write a number with or without a unit, as 2GiB, 512MiB or 1.5G")]
pub struct ParseByteSizeError(String);

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, ParseByteSizeError> {
        let error = || ParseByteSizeError(text.to_string());
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(error()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(error);
        }
        let bytes = number.parse::<f64>().map_err(|_| error())? * factor as f64;
        // Beyond, a float no longer counts single bytes and a cast would saturate.
        if bytes.is_finite() && bytes < (1_u64 << 62) as f64 {
            Ok(Self(bytes.round() as u64))
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (bits, unit) in UNITS {
            if self.0 >> bits > 0 {
                let value = self.0 as f64 / (1_u64 << bits) as f64;
                // As many decimals as two numbers need to differ that are told apart.
                let decimals = match value {
                    v if v.fract() == 0.0 => 0,
                    v if v < 10.0 => 2,
                    v if v < 100.0 => 1,
                    _ => 0,
                };
                return write!(f, "{value:.decimals$} {unit}");
            }
        }
        match self.0 {
            1 => f.write_str("1 byte"),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size(" 2 gib "), Ok(2 << 30));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("512MB"), Ok(512_000_000));
        assert_eq!(size("1.5k"), Ok(1536));
        for wrong in [
            "",
            "GiB",
            "-1",
            "2 bits",
            "1e9",
            "nan",
            "1.2.3",
            "1e400G",
            "99999999999999999999",
            "20000000T",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_shown_with_the_unit_that_suits() {
        let shown = |bytes| ByteSize(bytes).to_string();
        assert_eq!(shown(0), "0 bytes");
        assert_eq!(shown(1), "1 byte");
        assert_eq!(shown(1023), "1023 bytes");
        assert_eq!(shown(2 << 30), "2 GiB");
        assert_eq!(shown(1_600_000_000), "1.49 GiB");
        assert_eq!(shown(250_000_000), "238 MiB");
        assert_eq!(shown(u64::MAX), "16777216 TiB");
    }
}
