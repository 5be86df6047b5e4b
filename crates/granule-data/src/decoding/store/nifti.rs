//! Volumes of NIfTI files: one for each time, of voxels.
//!
//! The header is that of the NIfTI-1 standard (`nifti1.h`, 2003) or of NIfTI-2 (`nifti2.h`, 2011), in either order of bytes, in one
//! file with the numbers. These lie with the first axis fastest, volume after volume, and stand for
//! `scl_slope * number + scl_inter`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use granule_io::budget;
use granule_io::words::{counted, grouped};

use super::{Container, Read};
use crate::DataError;
use crate::arrays::{Array, Kind, doubles_of};
use crate::reading::{self, Hashing, MAX_DECODED, Source};

/// What a file's name ends with.
pub(super) const ENDS: [&str; 2] = [".nii", ".nii.gz"];
/// Bytes of the headers, which they begin with.
const FIRST: u32 = 348;
const SECOND: u32 = 540;
const NOT_ONE: &str = "not a NIfTI file: it does not begin with a header of NIfTI-1 or NIfTI-2";
const APART: &str =
    "its numbers are in another file (.img); save header and numbers as one .nii file";
/// Extents that a header has room for.
const MOST_EXTENTS: u64 = 7;
/// Numbers that are converted at a time.
const BLOCK: usize = 1 << 14;

/// A NIfTI file, whose array is called as the file is: `[volumes, voxels]`.
pub(super) struct Nifti {
    path: PathBuf,
    mask: Option<PathBuf>,
    notes: Vec<String>,
}

impl Nifti {
    /// Whether a file is called as NIfTI files are.
    pub fn is_one(path: &Path) -> bool {
        stem(path).is_some()
    }

    /// Of the voxels those are read where the numbers of `mask`, a volume in a file of its own, are not 0.
    pub fn new(path: PathBuf, mask: Option<PathBuf>) -> Self {
        let notes = Vec::new();
        Self { path, mask, notes }
    }
}

/// The name of a file without its end.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    ENDS.iter().find_map(|end| {
        let (stem, found) = name.split_at_checked(name.len().checked_sub(end.len())?)?;
        found.eq_ignore_ascii_case(end).then(|| stem.to_owned())
    })
}

impl Container for Nifti {
    fn kind(&self) -> &'static str {
        "a NIfTI file"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        Ok(stem(&self.path).into_iter().collect())
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(stem(&self.path).is_some_and(|stem| stem == name))
    }

    fn place(&self, _: &str) -> PathBuf {
        self.path.clone()
    }

    fn read(&mut self, _: &str, read: Read<'_>) -> Result<(), DataError> {
        let Self { path, mask, notes } = self;
        of_file(path, mask.as_deref(), notes, read)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn has_volumes(&self, _: &str) -> bool {
        true
    }
}

/// Reads the volumes of a file, of which those voxels are left where `mask` is not 0.
pub(super) fn of_file(
    path: &Path,
    mask: Option<&Path>,
    notes: &mut Vec<String>,
    read: Read<'_>,
) -> Result<(), DataError> {
    let (mut source, volumes) = Volumes::open(path)?;
    let kept = match mask {
        Some(mask) => Some(kept(mask, &volumes, path)?),
        None => None,
    };
    let mut note = format!(
        "{}: {} of {} voxels",
        path.display(),
        counted(volumes.count, "volume"),
        volumes.extents.map(|extent| extent.to_string()).join(" × ")
    );
    if let (Some(mask), Some(kept)) = (mask, &kept) {
        let count = kept.iter().filter(|kept| **kept).count();
        let (count, all) = (grouped(count), grouped(volumes.voxels));
        note.push_str(&format!(
            ", {count} of {all} within the mask {}",
            mask.display()
        ));
    }
    if !notes.contains(&note) {
        notes.push(note);
    }
    volumes.read(&mut source, kept.as_deref(), path, read)
}

/// The voxels at which a mask is not 0; it has to have the shape of the volumes, and one at least.
fn kept(mask: &Path, volumes: &Volumes, of: &Path) -> Result<Vec<bool>, DataError> {
    let (mut source, own) = Volumes::open(mask)?;
    if own.count != 1 || own.extents != volumes.extents {
        let reason = format!(
            "a mask of the shape {:?}{}, and the volumes of {} have {:?}",
            own.extents,
            match own.count {
                1 => String::new(),
                count => format!(" with {count} volumes"),
            },
            of.display(),
            volumes.extents
        );
        return Err(DataError::format(mask, reason));
    }
    let mut kept = budget::with_capacity(own.voxels, mask.display())?;
    own.read(&mut source, None, mask, &mut |array| {
        array.each_double(|block| {
            if block.iter().any(|x| x.is_nan()) {
                let reason = "holds NaN; a mask is 0 where voxels are left out";
                return Err(DataError::format(mask, reason));
            }
            kept.extend(block.iter().map(|x| *x != 0.0));
            Ok(())
        })
    })?;
    if !kept.contains(&true) {
        let what = "a mask that keeps no voxel: all of its numbers are 0".to_owned();
        let path = mask.to_owned();
        return Err(DataError::Empty { path, what });
    }
    Ok(kept)
}

/// What a header says.
#[derive(Debug)]
struct Volumes {
    extents: [u64; 3],
    /// Voxels of a volume.
    voxels: usize,
    count: usize,
    kind: Kind,
    big_endian: bool,
    /// Slope and intercept, where numbers do not stand for themselves.
    scale: Option<[f64; 2]>,
    /// Where the numbers begin.
    start: u64,
}

/// The fields of a header.
struct Fields<'h> {
    bytes: &'h [u8],
    big_endian: bool,
}

impl Fields<'_> {
    /// The bytes of a number, the least first.
    fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        let rest = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<N>);
        let mut bytes = rest.copied().unwrap_or([0; N]);
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn short(&self, at: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.at(at)))
    }

    fn long(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.at(at))
    }

    fn float(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.at(at)))
    }

    fn double(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.at(at))
    }
}

impl Volumes {
    /// Opens a file and reads its header; the numbers come next.
    fn open(path: &Path) -> Result<(Source<'_, std::fs::File>, Self), DataError> {
        let (file, len) = reading::open(path)?;
        let mut source = Source::new(file, len, path, Hashing::Off)?;
        let size = source.array::<4>()?;
        let mut header = size.to_vec();
        let (of_first, big_endian) = match (u32::from_le_bytes(size), u32::from_be_bytes(size)) {
            (FIRST, _) => (true, false),
            (_, FIRST) => (true, true),
            (SECOND, _) => (false, false),
            (_, SECOND) => (false, true),
            _ => return Err(DataError::format(path, NOT_ONE)),
        };
        let bytes = if of_first { FIRST } else { SECOND } as usize;
        header.resize(bytes, 0);
        reading::fill(&mut source, header.get_mut(4..).unwrap_or_default(), path)?;
        let fields = Fields {
            bytes: &header,
            big_endian,
        };
        let volumes = if of_first {
            Self::first(&fields, path)?
        } else {
            Self::second(&fields, path)?
        };
        let all = volumes.voxels.checked_mul(volumes.count);
        let promised = all.and_then(|all| all.checked_mul(volumes.kind.size()));
        let promised = promised.and_then(|bytes| (bytes as u64).checked_add(volumes.start));
        let Some(promised) = promised else {
            return Err(reading::too_large(path, "what the header promises"));
        };
        if source.is_packed() {
            source.check_promise(promised)?;
        } else if len < promised {
            return Err(reading::truncated(path, promised, len));
        }
        let mut left = volumes.start.saturating_sub(bytes as u64);
        let mut block = [0; 4096];
        while left > 0 {
            let count = left.min(4096) as usize;
            let block = block.get_mut(..count).unwrap_or_default();
            reading::fill(&mut source, block, path)?;
            left -= count as u64;
        }
        Ok((source, volumes))
    }

    fn first(fields: &Fields<'_>, path: &Path) -> Result<Self, DataError> {
        match fields.bytes.get(344..348) {
            Some(b"n+1\0") => {}
            Some(b"ni1\0") => return Err(DataError::format(path, APART)),
            _ => return Err(DataError::format(path, NOT_ONE)),
        }
        let dim = [0, 1, 2, 3, 4, 5, 6, 7].map(|at| fields.short(40 + 2 * at));
        let scale = [112, 116].map(|at| fields.float(at));
        let start = fields.float(108);
        // A number that is not whole becomes one below every header.
        let start = if start.fract() == 0.0 && start < 1e15 {
            start as i64
        } else {
            0
        };
        Self::of((dim, fields.short(70)), scale, (start, FIRST), fields, path)
    }

    fn second(fields: &Fields<'_>, path: &Path) -> Result<Self, DataError> {
        match fields.bytes.get(4..12) {
            Some(b"n+2\0\r\n\x1a\n") => {}
            Some([b'n', b'i', b'2', ..]) => return Err(DataError::format(path, APART)),
            _ => return Err(DataError::format(path, NOT_ONE)),
        }
        let dim = [0, 1, 2, 3, 4, 5, 6, 7].map(|at| fields.long(16 + 8 * at));
        let scale = [176, 184].map(|at| fields.double(at));
        let start = (fields.long(168), SECOND);
        Self::of((dim, fields.short(12)), scale, start, fields, path)
    }

    fn of(
        (dim, datatype): ([i64; 8], i64),
        [slope, intercept]: [f64; 2],
        (start, header): (i64, u32),
        fields: &Fields<'_>,
        path: &Path,
    ) -> Result<Self, DataError> {
        let corrupt = |reason: String| Err(DataError::corrupt(path, reason));
        let [rank, dim @ ..] = dim;
        let rank = u64::try_from(rank).unwrap_or(0);
        if !(1..=MOST_EXTENTS).contains(&rank) {
            return corrupt(format!(
                "its header says {rank} dimensions, of which there are 1 to {MOST_EXTENTS}"
            ));
        }
        let shape = dim.get(..rank as usize).unwrap_or_default();
        if let Some(extent) = shape.iter().find(|extent| **extent < 1) {
            return corrupt(format!(
                "its header says the shape {shape:?}, with an extent of {extent}"
            ));
        }
        let shape: Vec<u64> = shape.iter().map(|extent| extent.unsigned_abs()).collect();
        let (extents, count) = match *shape.as_slice() {
            [x, y, z] => ([x, y, z], 1),
            [x, y, z, count, ref rest @ ..] if rest.iter().all(|&extent| extent == 1) => {
                ([x, y, z], count)
            }
            _ => {
                return Err(DataError::ArrayShape {
                    path: path.to_owned(),
                    found: shape,
                    allowed: "[x, y, z] or [x, y, z, volumes], for a NIfTI file".to_owned(),
                });
            }
        };
        let [x, y, z] = extents;
        let voxels = x.checked_mul(y).and_then(|xy| xy.checked_mul(z));
        let voxels = voxels.and_then(|voxels| usize::try_from(voxels).ok());
        let (Some(voxels), Ok(count)) = (voxels, usize::try_from(count)) else {
            return Err(reading::too_large(path, "what the header promises"));
        };
        let kind = match datatype {
            2 => Kind::U8,
            4 => Kind::I16,
            8 => Kind::I32,
            16 => Kind::F32,
            64 => Kind::F64,
            256 => Kind::I8,
            512 => Kind::U16,
            768 => Kind::U32,
            1024 => Kind::I64,
            1280 => Kind::U64,
            other => {
                let name = match other {
                    1 => " (bits)",
                    32 | 1792 | 2048 => " (complex numbers)",
                    128 | 2304 => " (colours)",
                    1536 => " (floats of 128 bits)",
                    _ => "",
                };
                return Err(DataError::ArrayType {
                    path: path.to_owned(),
                    found: format!("data type {other}{name}"),
                    allowed: "signed or unsigned integers of 8 to 64 bits, float32 and float64",
                });
            }
        };
        // By the standard a slope of 0 says that there is none.
        let scale = match [slope, intercept] {
            [slope, _] if slope == 0.0 || slope.is_nan() => None,
            [1.0, 0.0] => None,
            scale if scale.iter().all(|x| x.is_finite()) => Some(scale),
            [slope, intercept] => {
                return corrupt(format!(
                    "its numbers are scaled by {slope} and moved by {intercept}"
                ));
            }
        };
        match u64::try_from(start) {
            Ok(start) if start >= u64::from(header) => Ok(Self {
                extents,
                voxels,
                count,
                kind,
                big_endian: fields.big_endian,
                scale,
                start,
            }),
            _ => corrupt(format!(
                "its numbers (vox_offset) begin within its header of {header} bytes, or nowhere"
            )),
        }
    }

    /// Hands on what comes next in `source`, `[volumes, voxels]`; of the voxels those that are kept.
    fn read(
        &self,
        source: &mut Source<'_, std::fs::File>,
        kept: Option<&[bool]>,
        path: &Path,
        read: Read<'_>,
    ) -> Result<(), DataError> {
        let voxels = kept.map_or(self.voxels, |kept| {
            kept.iter().filter(|kept| **kept).count()
        });
        let kind = self.scale.map_or(self.kind, |_| Kind::F64);
        let shape = vec![self.count as u64, voxels as u64];
        let reserve = source.reserve();
        let mut stream = Voxels {
            left: (self.voxels * self.count * self.kind.size()) as u64,
            inner: source,
            volumes: self,
            kept,
            voxel: 0,
            raw: Vec::new(),
            block: Vec::new(),
            at: 0,
        };
        let limits = (MAX_DECODED, reserve);
        read(Array::of_numbers(kind, shape, &mut stream, limits, path)?)
    }
}

/// The numbers of voxels that are kept, scaled, with the greatest byte first.
struct Voxels<'v> {
    inner: &'v mut dyn io::Read,
    /// Bytes that its header promises and that were not read yet.
    left: u64,
    volumes: &'v Volumes,
    kept: Option<&'v [bool]>,
    /// The next one of its volume.
    voxel: usize,
    raw: Vec<u8>,
    block: Vec<u8>,
    at: usize,
}

impl Voxels<'_> {
    /// Converts the next ones.
    fn convert(&mut self) -> io::Result<()> {
        let Volumes {
            kind,
            big_endian,
            scale,
            ..
        } = *self.volumes;
        let next = self.left.min((BLOCK * kind.size()) as u64);
        self.raw.clear();
        let mut stored = (&mut *self.inner).take(next);
        if (stored.read_to_end(&mut self.raw)? as u64) < next {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= next;
        self.block.clear();
        self.at = 0;
        for number in self.raw.chunks_exact(kind.size()) {
            let kept = self
                .kept
                .is_none_or(|kept| kept.get(self.voxel) == Some(&true));
            self.voxel += 1;
            if self.voxel == self.volumes.voxels {
                self.voxel = 0;
            }
            if kept {
                self.block.extend_from_slice(number);
            }
        }
        if let Some([slope, intercept]) = scale {
            let mut numbers = Vec::new();
            doubles_of(kind, big_endian, &self.block, &mut numbers);
            let scaled = numbers.into_iter().map(|x| slope * x + intercept);
            self.block.clear();
            self.block.extend(scaled.flat_map(f64::to_be_bytes));
        } else if !big_endian {
            let numbers = self.block.chunks_exact_mut(kind.size());
            numbers.for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}

impl io::Read for Voxels<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.left == 0 {
                // The checksum of what is packed is compared at its end.
                return match self.inner.read(&mut [0])? {
                    0 => Ok(0),
                    _ => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "bytes follow the numbers that its header promises",
                    )),
                };
            }
            self.convert()?;
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
