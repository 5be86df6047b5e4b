//! Axon Binary Format 2, as pCLAMP 10 and 11 write it: blocks of 512 bytes, little-endian, of which a map at byte 76 says where the
//! sections are. The layout is that of the documentation of pyABF (Harden, <https://swharden.com/pyabf/abf2-file-format>).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use granule_io::budget;

use super::{CURRENT, VOLTAGE, course};
use crate::numbers::Course;
use crate::{DataError, reading};

const BLOCK: u64 = 512;
/// Where the map has its sections.
const PROTOCOL: u64 = 76;
const ADC: u64 = 92;
const DAC: u64 = 108;
const EPOCHS: u64 = 156;
const STRINGS: u64 = 220;
const DATA: u64 = 236;
/// The most entries of a section of channels or epochs, and bytes of one.
const MOST_ENTRIES: u64 = 1024;
const MOST_BYTES: u64 = 4096;
/// The most bytes of the section of strings.
const MOST_TEXT: u64 = 1 << 20;
/// Sweeps at most.
const MOST_SWEEPS: u64 = 1 << 20;
/// Bytes of data that are read at a time, of whole scans.
const AT_ONCE: usize = 1 << 20;

/// The operation modes that are read.
const GAP_FREE: i16 = 3;
const EPISODIC: i16 = 5;

/// A part of the file, whose fields are read at their places.
struct Part(Vec<u8>);

impl Part {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let own = self.0.get(at..at.saturating_add(N));
        own.and_then(|own| own.try_into().ok()).unwrap_or([0; N])
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.bytes(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.bytes(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.bytes(at)))
    }
}

/// A section by the map.
#[derive(Clone, Copy)]
struct Section {
    begin: u64,
    /// Bytes of an entry.
    size: u64,
    entries: u64,
}

struct Abf<'a> {
    file: File,
    len: u64,
    path: &'a Path,
}

/// A recorded channel.
struct Channel {
    name: String,
    unit: String,
    gain: f64,
    offset: f64,
}

impl Abf<'_> {
    fn bad(&self, reason: impl Into<String>) -> DataError {
        DataError::format(self.path, reason)
    }

    fn part(&mut self, at: u64, size: u64) -> Result<Part, DataError> {
        if at.checked_add(size).is_none_or(|end| end > self.len) {
            let reason = format!(
                "it ends after {} bytes, and {size} bytes are to be at byte {at}",
                self.len
            );
            return Err(DataError::corrupt(self.path, reason));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = budget::filled(0, size, self.path.display())?;
        let read = self.file.seek(SeekFrom::Start(at));
        read.and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|error| DataError::io(self.path, "read", error))?;
        Ok(Part(bytes))
    }

    /// A section by its place in the map.
    fn section(&self, header: &Part, at: u64) -> Section {
        let at = at as usize;
        Section {
            begin: u64::from(header.u32(at)) * BLOCK,
            size: u64::from(header.u32(at + 4)),
            entries: u64::try_from(header.i64(at + 8)).unwrap_or(u64::MAX),
        }
    }

    /// The entries of a section, of `least` bytes each.
    fn entries(&mut self, own: Section, what: &str, least: u64) -> Result<Vec<Part>, DataError> {
        if own.entries == 0 {
            return Ok(Vec::new());
        }
        if own.entries > MOST_ENTRIES || !(least..=MOST_BYTES).contains(&own.size) {
            let reason = format!(
                "it claims {} {what} of {} bytes each; at most {MOST_ENTRIES} of {least} to {MOST_BYTES} are read",
                own.entries, own.size
            );
            return Err(DataError::corrupt(self.path, reason));
        }
        let entries = 0..own.entries;
        entries
            .map(|index| self.part(own.begin + index * own.size, own.size))
            .collect()
    }

    /// Names and units: what is after the last two zeros in a row, each ended by one; the number 1 is the first.
    fn strings(&mut self, own: Section) -> Result<Vec<String>, DataError> {
        if own.entries == 0 {
            return Ok(Vec::new());
        }
        if own.size > MOST_TEXT {
            let reason = format!("its texts claim {} bytes, more than {MOST_TEXT}", own.size);
            return Err(DataError::corrupt(self.path, reason));
        }
        let bytes = self.part(own.begin, own.size)?.0;
        let end = bytes.iter().rposition(|byte| *byte != 0);
        let bytes = bytes
            .get(..end.map_or(0, |end| end + 1))
            .unwrap_or_default();
        let first = bytes.windows(2).rposition(|pair| pair == [0, 0]);
        let texts = bytes
            .get(first.map_or(0, |first| first + 1)..)
            .unwrap_or_default();
        let texts = texts.split(|byte| *byte == 0);
        // Latin-1, in which the micro sign is one byte.
        let read = |own: &[u8]| own.iter().map(|byte| char::from(*byte)).collect::<String>();
        Ok(texts.map(|own| read(own).trim().to_owned()).collect())
    }
}

/// Reads an array of the file.
pub(super) fn read(path: &Path, array: &str) -> Result<Course, DataError> {
    let (file, len) = reading::open(path)?;
    let mut abf = Abf { file, len, path };
    let signature = abf.part(0, len.min(4))?.0;
    if signature == b"ABF " {
        return Err(abf.bad(
            "it is ABF of version 1; saved by Clampfit, or by pyABF, as ABF 2 it can be read",
        ));
    }
    if signature != b"ABF2" {
        return Err(abf.bad("it does not begin with ABF2, as a file of pCLAMP does"));
    }
    let header = abf.part(0, BLOCK)?;
    let protocol = abf.section(&header, PROTOCOL);
    let protocol = abf.entries(protocol, "protocols", 126)?;
    let Some(protocol) = protocol.first() else {
        return Err(abf.bad("it has no protocol"));
    };
    let texts = abf.section(&header, STRINGS);
    let texts = abf.strings(texts)?;
    let text = |index: i32| {
        let own = usize::try_from(index).ok().and_then(|own| texts.get(own));
        own.cloned().unwrap_or_default()
    };
    let channels = abf.section(&header, ADC);
    let channels = abf.entries(channels, "channels", 82)?;
    let range = protocol.f32(110) / f64::from(protocol.i32(118));
    let floats = header.i16(30) == 1;
    let channels: Vec<Channel> = channels
        .iter()
        .map(|own| {
            let telegraphed = if own.i16(2) == 0 { 1.0 } else { own.f32(6) };
            let amplified = own.f32(40) * own.f32(48) * own.f32(28) * telegraphed;
            Channel {
                name: text(own.i32(74)),
                unit: text(own.i32(78)),
                gain: if floats { 1.0 } else { range / amplified },
                offset: if floats {
                    0.0
                } else {
                    own.f32(44) - own.f32(52)
                },
            }
        })
        .collect();
    if channels.is_empty() {
        return Err(abf.bad("it has no channel"));
    }

    let data = abf.section(&header, DATA);
    let format = header.i16(30);
    let bytes = match format {
        0 => 2,
        1 => 4,
        other => return Err(abf.bad(format!("its data are of the format {other}, which is none"))),
    };
    if data.size != bytes {
        let reason = format!(
            "its numbers have {} bytes, by their format {bytes}",
            data.size
        );
        return Err(DataError::corrupt(path, reason));
    }
    let width = channels.len() as u64;
    let (sweeps, length) = match protocol.i16(0) {
        GAP_FREE => (1, data.entries / width),
        EPISODIC => {
            let length = u64::try_from(protocol.i32(22)).unwrap_or(0);
            (u64::from(header.u32(12)), length / width)
        }
        other => {
            let reason = format!(
                "it was recorded in the mode {other}; sweeps of one length (episodic stimulation, 5) and recordings without gaps (3) \
                 are read"
            );
            return Err(abf.bad(reason));
        }
    };
    let count = sweeps.checked_mul(length).filter(|count| *count > 0);
    let claimed = count.and_then(|count| count.checked_mul(width)?.checked_mul(bytes));
    let there = claimed.is_some_and(|claimed| {
        let end = data.begin.checked_add(claimed);
        end.is_some_and(|end| end <= len)
    });
    if !there || sweeps > MOST_SWEEPS || sweeps * length * width > data.entries {
        let reason = format!(
            "it claims {sweeps} sweeps of {length} samples of {width} channels, and has {} numbers in {len} bytes",
            data.entries
        );
        return Err(DataError::corrupt(path, reason));
    }
    let interval = protocol.f32(2) * 1e-3;
    if !(interval.is_finite() && interval > 0.0) {
        return Err(DataError::corrupt(
            path,
            format!("its samples are {interval} ms apart"),
        ));
    }
    let (sweeps, length) = (sweeps as usize, length as usize);

    let of_kind = |letter: char| channels.iter().position(|own| own.unit.ends_with(letter));
    let named = || channels.iter().position(|own| own.name == array);
    let found = match array {
        VOLTAGE => of_kind('V'),
        CURRENT => of_kind('A'),
        _ => named(),
    };
    match found {
        Some(index) => {
            let recorded = Recorded {
                begin: data.begin,
                floats,
                channels: channels.len(),
                size: (sweeps, length),
            };
            let own = &channels[index];
            if !(own.gain.is_finite() && own.offset.is_finite()) {
                let reason = format!("the scale of its channel {} is no number", own.name);
                return Err(DataError::corrupt(path, reason));
            }
            let values = recorded.read(&mut abf, index, own)?;
            Ok(course(interval, sweeps, values, own.unit.clone()))
        }
        None if array == CURRENT => {
            let (values, unit) = command(&mut abf, &header, &text, (sweeps, length))?;
            Ok(course(interval, sweeps, values, unit))
        }
        None => {
            let names: Vec<String> = channels
                .iter()
                .map(|own| format!("{} ({})", own.name, own.unit))
                .collect();
            let reason = format!(
                "it has no {array}: its channels are {}; {CURRENT} is that of its protocol where no channel has it",
                names.join(", ")
            );
            Err(DataError::asked(path, reason))
        }
    }
}

/// Where the numbers are, and how many.
struct Recorded {
    begin: u64,
    floats: bool,
    channels: usize,
    /// Sweeps and samples of each.
    size: (usize, usize),
}

impl Recorded {
    /// One channel, `[samples, sweeps]`.
    fn read(&self, abf: &mut Abf<'_>, index: usize, own: &Channel) -> Result<Vec<f64>, DataError> {
        let (sweeps, length) = self.size;
        let count = sweeps.saturating_mul(length);
        let mut values = budget::filled(0.0, count, abf.path.display())?;
        let bytes = if self.floats { 4 } else { 2 };
        let scan = bytes * self.channels;
        let scans = (AT_ONCE / scan).max(1);
        let mut first = 0;
        while first < count {
            let some = scans.min(count - first);
            let at = self.begin + (first * scan) as u64;
            let part = abf.part(at, (some * scan) as u64)?;
            for place in 0..some {
                let at = place * scan + index * bytes;
                let raw = if self.floats {
                    part.f32(at)
                } else {
                    f64::from(part.i16(at))
                };
                let (sweep, sample) = ((first + place) / length, (first + place) % length);
                if let Some(value) = values.get_mut(sample * sweeps + sweep) {
                    *value = raw * own.gain + own.offset;
                }
            }
            first += some;
        }
        if values.iter().any(|x| !x.is_finite()) {
            return Err(abf.bad(format!("its channel {} holds what is not finite", own.name)));
        }
        Ok(values)
    }
}

/// The current of the protocol, by its epochs: the first 64th of a sweep is at the level before, as the amplifier does.
fn command(
    abf: &mut Abf<'_>,
    header: &Part,
    text: &dyn Fn(i32) -> String,
    (sweeps, length): (usize, usize),
) -> Result<(Vec<f64>, String), DataError> {
    let outputs = abf.section(header, DAC);
    let outputs = abf.entries(outputs, "outputs", 46)?;
    let found = outputs
        .iter()
        .map(|own| (own, text(own.i32(28))))
        .filter(|(_, unit)| unit.ends_with('A'))
        // One that does something before one that only holds.
        .max_by_key(|(own, _)| own.i16(40) != 0);
    let Some((output, unit)) = found else {
        return Err(DataError::asked(
            abf.path,
            "it has no current: neither a channel nor an output is in A",
        ));
    };
    let epochs = abf.section(header, EPOCHS);
    let epochs = abf.entries(epochs, "epochs", 30)?;
    let enabled = output.i16(40) != 0;
    if enabled && output.i16(42) != 1 {
        let reason = "its current is from another file, by which it is not known; record it as a channel, or give it \
                      as a stimulus of its own";
        return Err(abf.bad(reason));
    }
    let own: Vec<&Part> = epochs
        .iter()
        .filter(|epoch| enabled && epoch.i16(2) == output.i16(0) && epoch.i16(4) != 0)
        .collect();
    if let Some(other) = own.iter().find(|epoch| !(1..=3).contains(&epoch.i16(4))) {
        let reason = format!(
            "an epoch of its current is of the kind {}; steps, ramps and trains of pulses are known",
            other.i16(4)
        );
        return Err(abf.bad(reason));
    }
    let holding = output.f32(12);
    let returns = output.i16(44) == 0;
    let count = sweeps.saturating_mul(length);
    let mut values = budget::filled(holding, count, abf.path.display())?;
    let mut set = |sweep: usize, sample: usize, level: f64| {
        if sample < length
            && let Some(value) = values.get_mut(sample * sweeps + sweep)
        {
            *value = level;
        }
    };
    let mut before = holding;
    for sweep in 0..sweeps {
        let mut position = length / 64;
        (0..position).for_each(|sample| set(sweep, sample, before));
        let mut last = before;
        for epoch in &own {
            let level = epoch.f32(6) + epoch.f32(10) * sweep as f64;
            let longer = i64::from(epoch.i32(18)).saturating_mul(sweep as i64);
            let duration = i64::from(epoch.i32(14)).saturating_add(longer).max(0);
            let duration = usize::try_from(duration).unwrap_or(usize::MAX).min(length);
            let steps = duration.saturating_sub(1).max(1) as f64;
            let period = usize::try_from(epoch.i32(22)).unwrap_or(0);
            let width = usize::try_from(epoch.i32(26)).unwrap_or(0);
            for sample in 0..duration {
                let now = match epoch.i16(4) {
                    2 => last + (level - last) * sample as f64 / steps,
                    3 => {
                        let whole = period > 0 && sample / period < duration / period;
                        if whole && sample % period < width {
                            level
                        } else {
                            last
                        }
                    }
                    _ => level,
                };
                set(sweep, position.saturating_add(sample), now);
            }
            position = position.saturating_add(duration);
            last = level;
        }
        before = if returns { holding } else { last };
        (position..length).for_each(|sample| set(sweep, sample, before));
    }
    if values.iter().any(|x| !x.is_finite()) {
        return Err(DataError::corrupt(
            abf.path,
            "the levels of its epochs are no numbers",
        ));
    }
    Ok((values, unit))
}
