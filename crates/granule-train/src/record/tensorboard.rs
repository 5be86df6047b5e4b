//! TensorBoard event files: TFRecord frames around `tensorflow.Event` messages with scalar summaries.
//!
//! A frame is the length (u64), its checksum, the message and its checksum, all little-endian. The messages and their
//! field numbers are those of `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use granule_io::{Bound, read};

use super::RecordError;
use super::growing::GrowingFile;

const FILE_PREFIX: &str = "events.out.tfevents.";
const FILE_VERSION: &str = "brain.Event:2";

const EVENT_WALL_TIME: u64 = 1;
const EVENT_STEP: u64 = 2;
const EVENT_FILE_VERSION: u64 = 3;
const EVENT_SUMMARY: u64 = 5;
const SUMMARY_VALUE: u64 = 1;
const VALUE_TAG: u64 = 1;
const VALUE_SIMPLE_VALUE: u64 = 2;

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

pub(super) struct EventWriter {
    file: GrowingFile,
}

impl EventWriter {
    /// Starts a new event file in `dir`.
    pub(super) fn create(dir: &Path) -> Result<Self, RecordError> {
        let path = dir.join(file_name(seconds_since_epoch() as u64));
        let mut start = Vec::new();
        push_frame(&mut start, &version_event(seconds_since_epoch()));
        let file = GrowingFile::open(path, &start)?;
        Ok(Self { file })
    }

    /// Continues the events of `dir`: those up to `upto_step` move to a new file, except for tags under `without`.
    ///
    /// The new file's name is later than the old one's, so that a TensorBoard that is open on the folder moves on to it.
    pub(super) fn resume(dir: &Path, upto_step: u64, without: &str) -> Result<Self, RecordError> {
        let old = event_files(dir)?;
        let Some((last_time, newest)) = old.last() else {
            return Self::create(dir);
        };
        let bytes = read(newest, Bound::RECORD)?;
        let mut kept = Vec::new();
        for event in frames(&bytes) {
            let event_of_end = tags(event).any(|tag| tag.starts_with(without.as_bytes()));
            if step(event) <= upto_step && !event_of_end {
                push_frame(&mut kept, event);
            }
        }
        if kept.is_empty() {
            push_frame(&mut kept, &version_event(seconds_since_epoch()));
        }
        let path = dir.join(file_name((seconds_since_epoch() as u64).max(last_time + 1)));
        let file = GrowingFile::open(path, &kept)?;
        for (_, path) in old {
            fs::remove_file(&path).map_err(|error| RecordError::io("remove", &path, error))?;
        }
        Ok(Self { file })
    }

    /// Appends one event with the given (tag, value) pairs.
    pub(super) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<(), RecordError> {
        let mut frame = Vec::with_capacity(64 + 40 * values.len());
        push_frame(
            &mut frame,
            &scalar_event(seconds_since_epoch(), step, values),
        );
        self.file.push(&frame)
    }

    pub(super) fn file(&mut self) -> &mut GrowingFile {
        &mut self.file
    }
}

fn file_name(seconds: u64) -> String {
    format!("{FILE_PREFIX}{seconds:010}.granule")
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// The event files of a folder with the time in their names, oldest first.
fn event_files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, RecordError> {
    let failed = |error| RecordError::io("list", dir, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let time = name.to_str().and_then(|name| {
            name.strip_prefix(FILE_PREFIX)?
                .split('.')
                .next()?
                .parse()
                .ok()
        });
        files.extend(time.map(|time: u64| (time, entry.path())));
    }
    files.sort();
    Ok(files)
}

fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    push_fixed_64(&mut event, EVENT_WALL_TIME, wall_time.to_bits());
    push_bytes(&mut event, EVENT_FILE_VERSION, FILE_VERSION.as_bytes());
    event
}

fn scalar_event(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, number) in values {
        let mut value = Vec::new();
        push_bytes(&mut value, VALUE_TAG, tag.as_bytes());
        push_varint(&mut value, VALUE_SIMPLE_VALUE << 3 | FIXED_32);
        value.extend((*number as f32).to_le_bytes());
        push_bytes(&mut summary, SUMMARY_VALUE, &value);
    }
    let mut event = Vec::new();
    push_fixed_64(&mut event, EVENT_WALL_TIME, wall_time.to_bits());
    push_varint(&mut event, EVENT_STEP << 3 | VARINT);
    push_varint(&mut event, step);
    push_bytes(&mut event, EVENT_SUMMARY, &summary);
    event
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_fixed_64(out: &mut Vec<u8>, field: u64, bits: u64) {
    push_varint(out, field << 3 | FIXED_64);
    out.extend(bits.to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | LENGTH_DELIMITED);
    push_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn push_frame(out: &mut Vec<u8>, message: &[u8]) {
    let length = (message.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(message);
    out.extend(masked_crc(message).to_le_bytes());
}

/// The messages of a file up to the first frame that is torn or fails its checksum.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (length_crc, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*length_crc) != masked_crc(length) {
            return None;
        }
        let (message, rest) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let (message_crc, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*message_crc) != masked_crc(message) {
            return None;
        }
        bytes = rest;
        Some(message)
    })
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a protobuf message with their numbers, up to the first that is malformed.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let field = match key & 7 {
            VARINT => Field::Varint(take_varint(&mut bytes)?),
            FIXED_64 => take(&mut bytes, 8).map(|_| Field::Fixed)?,
            FIXED_32 => take(&mut bytes, 4).map(|_| Field::Fixed)?,
            LENGTH_DELIMITED => {
                let length = take_varint(&mut bytes)?;
                Field::Bytes(take(&mut bytes, usize::try_from(length).ok()?)?)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn step(event: &[u8]) -> u64 {
    let step = fields(event).find_map(|(number, field)| match field {
        Field::Varint(step) if number == EVENT_STEP => Some(step),
        _ => None,
    });
    step.unwrap_or(0)
}

fn tags(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let nested = |bytes, wanted| {
        fields(bytes).filter_map(move |(number, field)| match field {
            Field::Bytes(bytes) if number == wanted => Some(bytes),
            _ => None,
        })
    };
    nested(event, EVENT_SUMMARY)
        .flat_map(move |summary| nested(summary, SUMMARY_VALUE))
        .flat_map(move |value| nested(value, VALUE_TAG))
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0x82f6_3b78
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| {
        crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

#[cfg(test)]
pub(super) fn events(dir: &Path) -> Vec<(u64, Vec<String>)> {
    let (_, newest) = event_files(dir).unwrap().pop().unwrap();
    let bytes = fs::read(newest).unwrap();
    frames(&bytes)
        .map(|event| {
            (
                step(event),
                tags(event)
                    .map(|tag| String::from_utf8_lossy(tag).into_owned())
                    .collect(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checksum_is_castagnoli() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn bytes_are_those_of_tensorflow() {
        // As written by tensorboard 2.21's RecordWriter.
        let mut file = Vec::new();
        push_frame(&mut file, &version_event(1.5));
        push_frame(
            &mut file,
            &scalar_event(2.5, 300, &[("train/loss", 0.25), ("a", -1.0)]),
        );
        let hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = concat!(
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c",
            "2b00000000000000861bc34b09000000000000044010ac022a1d0a110a0a747261696e2f6c6f7373",
            "150000803e0a080a016115000080bf4af6c534",
        );
        assert_eq!(hex, expected);
    }

    #[test]
    fn resume_keeps_whole_events_up_to_the_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path()).unwrap();
        for step in [1, 10, 20, 30] {
            writer.scalars(step, &[("train/loss", 0.5)]).unwrap();
        }
        writer.scalars(20, &[("test/accuracy", 0.5)]).unwrap();
        writer.file.flush().unwrap();
        let path = writer.file.path.clone();
        drop(writer);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();

        let mut writer = EventWriter::resume(dir.path(), 20, "test/").unwrap();
        writer.scalars(21, &[("train/loss", 0.25)]).unwrap();
        writer.file.flush().unwrap();
        assert!(writer.file.path > path && !path.exists());
        let steps: Vec<_> = events(dir.path())
            .into_iter()
            .map(|(step, tags)| (step, tags.len()))
            .collect();
        assert_eq!(steps, [(0, 0), (1, 1), (10, 1), (20, 1), (21, 1)]);
        drop(EventWriter::resume(dir.path(), 21, "test/").unwrap());
        assert_eq!(events(dir.path()).len(), 5);
    }

    proptest! {
        #[test]
        fn reading_stops_at_damage_and_never_panics(
            steps in prop::collection::vec(any::<u64>(), 1..8),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let mut file = Vec::new();
            let mut ends = Vec::new();
            for &step in &steps {
                push_frame(&mut file, &scalar_event(0.0, step, &[("x", 1.0)]));
                ends.push(file.len());
            }
            prop_assert_eq!(frames(&file).map(step).collect::<Vec<_>>(), steps.clone());
            let at = at.index(file.len());
            let whole = ends.iter().filter(|&&end| end <= at).count();
            prop_assert_eq!(frames(&file[..at]).count(), whole);
            file[at] ^= flip;
            prop_assert_eq!(frames(&file).map(step).collect::<Vec<_>>(), &steps[..whole]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(frames(&bytes).count() <= bytes.len());
            prop_assert!(fields(&bytes).count() <= bytes.len());
            let _ = (step(&bytes), tags(&bytes).count());
        }
    }
}
