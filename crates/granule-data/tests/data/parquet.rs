use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use granule_data::{DataError, Dataset, DatasetSpec, ImageOptions, LoadOptions, Split, load};
use granule_io::image::Size;
use proptest::prelude::*;

use crate::memory::{cap, peak};
use crate::support::{damage, load_from, write};

const SNAPPY: i64 = 1;
const GZIP: i64 = 2;
const PLAIN: i64 = 0;
const RUNS: i64 = 3;
const DICTIONARY: i64 = 8;
/// As it was called before.
const OLD_DICTIONARY: i64 = 2;
/// Stored types.
const INT32: i64 = 1;
const INT64: i64 = 2;
const BYTES: i64 = 6;

/// A structure of Thrift's compact protocol.
#[derive(Default, Clone)]
struct Fields {
    bytes: Vec<u8>,
    last: u8,
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

impl Fields {
    fn head(mut self, id: u8, kind: u8) -> Self {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
        self
    }

    fn int(self, id: u8, number: i64) -> Self {
        let mut fields = self.head(id, 6);
        varint(&mut fields.bytes, (number << 1 ^ number >> 63) as u64);
        fields
    }

    fn bytes(self, id: u8, bytes: &[u8]) -> Self {
        let mut fields = self.head(id, 8);
        varint(&mut fields.bytes, bytes.len() as u64);
        fields.bytes.extend(bytes);
        fields
    }

    fn of(self, id: u8, other: Self) -> Self {
        let mut fields = self.head(id, 12);
        fields.bytes.extend(other.end());
        fields
    }

    fn list(self, id: u8, items: Vec<Self>) -> Self {
        let mut fields = self.head(id, 9);
        fields.bytes.push(0xf0 | 12);
        varint(&mut fields.bytes, items.len() as u64);
        fields.bytes.extend(items.into_iter().flat_map(Self::end));
        fields
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// A column to be written: its name within structures, and a value a row.
#[derive(Clone)]
struct Written {
    names: &'static [&'static str],
    kind: i64,
    /// As they are stored one after the other; none is null.
    values: Vec<Option<Vec<u8>>>,
}

fn encoded(names: &'static [&'static str], images: &[Vec<u8>]) -> Written {
    let stored = |image: &Vec<u8>| [&(image.len() as u32).to_le_bytes()[..], image].concat();
    Written {
        names,
        kind: BYTES,
        values: images.iter().map(|image| Some(stored(image))).collect(),
    }
}

fn numbers(names: &'static [&'static str], labels: &[i64]) -> Written {
    Written {
        names,
        kind: INT64,
        values: labels
            .iter()
            .map(|label| Some(label.to_le_bytes().to_vec()))
            .collect(),
    }
}

/// How a file is written.
#[derive(Clone)]
struct Sheet {
    columns: Vec<Written>,
    codec: i64,
    encoding: i64,
    /// Pages of the second version.
    second: bool,
    /// Whether columns may be null.
    nullable: bool,
    /// Rows of a group.
    group: usize,
    features: Option<String>,
    /// What the footer says there are, and how long a chunk is.
    rows: Option<i64>,
    length: Option<i64>,
}

impl Sheet {
    fn new(columns: Vec<Written>) -> Self {
        Self {
            columns,
            codec: 0,
            encoding: PLAIN,
            second: false,
            nullable: true,
            group: usize::MAX,
            features: None,
            rows: None,
            length: None,
        }
    }

    fn compressed(&self, bytes: &[u8]) -> Vec<u8> {
        match self.codec {
            SNAPPY => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            GZIP => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => bytes.to_vec(),
        }
    }

    /// Appends the pages of some rows of a column; where they begin, and the metadata of the chunk.
    fn chunk(&self, out: &mut Vec<u8>, column: &Written, rows: &[Option<Vec<u8>>]) -> Fields {
        let start = out.len();
        let nullable = if self.nullable {
            column.names.len() as u8
        } else {
            0
        };
        let there: Vec<&Vec<u8>> = rows.iter().flatten().collect();
        let mut dictionary = None;
        let values = if [DICTIONARY, OLD_DICTIONARY].contains(&self.encoding) {
            dictionary = Some(out.len());
            let mut distinct: Vec<&Vec<u8>> = Vec::new();
            let mut places = vec![8];
            for value in there {
                let place = distinct.iter().position(|other| *other == value);
                let place = place.unwrap_or_else(|| {
                    distinct.push(value);
                    distinct.len() - 1
                });
                places.extend([2, place as u8]);
            }
            let page: Vec<u8> = distinct.iter().flat_map(|value| value.to_vec()).collect();
            let stored = self.compressed(&page);
            let old = self.encoding == OLD_DICTIONARY;
            let own = Fields::default()
                .int(1, distinct.len() as i64)
                .int(2, if old { OLD_DICTIONARY } else { PLAIN });
            let header = Fields::default()
                .int(1, 2)
                .int(2, page.len() as i64)
                .int(3, stored.len() as i64)
                .of(7, own);
            out.extend([header.end(), stored].concat());
            places
        } else {
            there.into_iter().flatten().copied().collect()
        };
        // Levels one by one: of what is null one less than the most.
        let mut levels = Vec::new();
        for row in rows.iter().filter(|_| nullable > 0) {
            levels.extend([2, nullable - u8::from(row.is_none())]);
        }
        let data = out.len();
        let count = rows.len() as i64;
        let header = Fields::default();
        let (header, page) = if self.second {
            let stored = self.compressed(&values);
            let own = Fields::default()
                .int(1, count)
                .int(2, 0)
                .int(3, count)
                .int(4, self.encoding)
                .int(5, levels.len() as i64)
                .int(6, 0);
            let header = header
                .int(1, 3)
                .int(2, (levels.len() + values.len()) as i64)
                .int(3, (levels.len() + stored.len()) as i64)
                .of(8, own);
            (header, [levels, stored].concat())
        } else {
            let mut page = Vec::new();
            if nullable > 0 {
                page.extend((levels.len() as u32).to_le_bytes());
                page.extend(levels);
            }
            page.extend(values);
            let stored = self.compressed(&page);
            let own = Fields::default()
                .int(1, count)
                .int(2, self.encoding)
                .int(3, RUNS)
                .int(4, RUNS);
            let header = header
                .int(1, 0)
                .int(2, page.len() as i64)
                .int(3, stored.len() as i64)
                .of(5, own);
            (header, stored)
        };
        out.extend([header.end(), page].concat());
        let metadata = Fields::default()
            .int(1, column.kind)
            .int(4, self.codec)
            .int(5, count)
            .int(6, 0)
            .int(7, self.length.unwrap_or((out.len() - start) as i64))
            .int(9, data as i64);
        let metadata = match dictionary {
            Some(start) => metadata.int(11, start as i64),
            None => metadata,
        };
        Fields::default().int(2, 0).of(3, metadata)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"PAR1".to_vec();
        let count = self.columns[0].values.len();
        let mut groups = Vec::new();
        let mut begin = 0;
        while begin < count {
            let end = begin.saturating_add(self.group).min(count);
            let chunks = self.columns.iter();
            let chunks = chunks
                .map(|column| self.chunk(&mut out, column, &column.values[begin..end]))
                .collect();
            groups.push(
                Fields::default()
                    .list(1, chunks)
                    .int(3, (end - begin) as i64),
            );
            begin = end;
        }
        let repetition = i64::from(self.nullable);
        let mut tops: Vec<&str> = self.columns.iter().map(|column| column.names[0]).collect();
        tops.dedup();
        let root = Fields::default()
            .bytes(4, b"schema")
            .int(5, tops.len() as i64);
        let mut schema = vec![root];
        let mut last = "";
        for column in &self.columns {
            let within = self.columns.iter();
            let within = within.filter(|other| other.names[0] == column.names[0]);
            if column.names.len() == 2 && column.names[0] != last {
                let structure = Fields::default()
                    .int(3, repetition)
                    .bytes(4, column.names[0].as_bytes())
                    .int(5, within.count() as i64);
                schema.push(structure);
            }
            last = column.names[0];
            let name = column.names[column.names.len() - 1];
            let leaf = Fields::default()
                .int(1, column.kind)
                .int(3, repetition)
                .bytes(4, name.as_bytes());
            schema.push(leaf);
        }
        let pairs = self.features.iter();
        let pairs = pairs.map(|json| {
            Fields::default()
                .bytes(1, b"huggingface")
                .bytes(2, json.as_bytes())
        });
        let footer = Fields::default()
            .int(1, 2)
            .list(2, schema)
            .int(3, self.rows.unwrap_or(count as i64))
            .list(4, groups)
            .list(5, pairs.collect())
            .end();
        let size = footer.len() as u32;
        out.extend(footer);
        out.extend(size.to_le_bytes());
        out.extend(b"PAR1");
        out
    }
}

/// A grey PNG of `side` pixels each way, all of that level.
fn png(side: u32, level: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(side, side, image::Luma([level]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

const LABELS: [i64; 6] = [2, 0, 1, 1, 0, 2];

fn pngs() -> Vec<Vec<u8>> {
    (0..6).map(|at| png(4, 10 * at)).collect()
}

fn features(names: &str) -> String {
    format!(
        r#"{{"info": {{"features": {{"image": {{"_type": "Image"}}, "label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
    )
}

/// A file as Hugging Face writes it.
fn hub() -> Sheet {
    let paths = vec![b"a.png".to_vec(); 6];
    let mut sheet = Sheet::new(vec![
        encoded(&["image", "bytes"], &pngs()),
        encoded(&["image", "path"], &paths),
        numbers(&["label"], &LABELS),
    ]);
    sheet.features = Some(features(r#"["cat", "dog", "owl"]"#));
    sheet
}

fn load_path(path: &Path) -> Result<Dataset, DataError> {
    load_from(&DatasetSpec::Parquet(path.to_path_buf()), path)
}

/// A folder with the training and the test file.
fn load_both(train: &[u8], test: &[u8]) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("train-00000-of-00001.parquet"), train);
    write(dir.path().join("test-00000-of-00001.parquet"), test);
    load_path(dir.path())
}

fn refused(sheet: &Sheet) -> String {
    let bytes = sheet.bytes();
    load_both(&bytes, &bytes).unwrap_err().to_string()
}

fn check(set: &Dataset) {
    for split in [&set.train, &set.test] {
        let found =
            (0..split.len()).map(|at| (split.class(at).unwrap(), split.pixels(at).unwrap()[15]));
        let expected = LABELS
            .iter()
            .zip(0u8..)
            .map(|(&label, at)| (label as u16, 10 * at));
        assert!(found.eq(expected), "{split:?}");
    }
}

#[test]
fn every_way_of_writing_is_read_alike() {
    let mut fingerprints = Vec::new();
    for codec in [0, SNAPPY, GZIP] {
        for encoding in [PLAIN, DICTIONARY, OLD_DICTIONARY] {
            for second in [false, true] {
                for nullable in [false, true] {
                    for group in [usize::MAX, 4, 1] {
                        let sheet = Sheet {
                            codec,
                            encoding,
                            second,
                            nullable,
                            group,
                            ..hub()
                        };
                        let bytes = sheet.bytes();
                        let set = load_both(&bytes, &bytes).unwrap();
                        check(&set);
                        assert_eq!(set.classes, ["cat", "dog", "owl"]);
                        fingerprints.push(set.fingerprint);
                    }
                }
            }
        }
    }
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 1);
}

#[test]
fn columns_by_other_names_and_without_names_of_classes() {
    let mut narrow = numbers(&["fine_label"], &[7, 3, 5, 5, 3, 7]);
    narrow.kind = INT32;
    for value in narrow.values.iter_mut().flatten() {
        value.truncate(4);
    }
    let sheet = Sheet::new(vec![
        encoded(&["img"], &pngs()),
        narrow,
        numbers(&["coarse_label"], &[0; 6]),
    ]);
    let set = load_both(&sheet.bytes(), &sheet.bytes()).unwrap();
    assert_eq!(set.classes, ["3", "5", "7"]);
    check(&set);
    let told = |said: &str| set.notes.iter().any(|note| note.contains(said));
    assert!(told("not read: coarse_label"), "{:?}", set.notes);
    assert!(told("by their numbers"), "{:?}", set.notes);
}

#[test]
fn parts_are_found_by_the_names_of_files() {
    let bytes = hub().bytes();
    let set = |files: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            write(dir.path().join(file), &bytes);
        }
        load_path(dir.path())
    };
    let sizes = |files: &[&str]| {
        let set = set(files).unwrap();
        let validation = set.validation.as_ref().map_or(0, |part| part.len());
        (set.train.len(), set.test.len(), validation)
    };
    assert_eq!(sizes(&["train.parquet", "test.parquet"]), (6, 6, 0));
    let shards = [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "README.md",
    ];
    assert_eq!(sizes(&shards), (12, 6, 6));
    assert_eq!(
        sizes(&["cifar100/train-0.parquet", "cifar100/test-0.parquet"]),
        (6, 6, 0)
    );
    assert_eq!(
        sizes(&["default/train/0000.parquet", "default/test/0000.parquet"]),
        (6, 6, 0)
    );
    assert_eq!(
        sizes(&["train-0.parquet", "validation-0.parquet"]),
        (6, 6, 0)
    );
    // What has no parts is divided, as a lone file is.
    assert_eq!(sizes(&["0000.parquet"]), (3, 3, 0));
    assert_eq!(sizes(&["train-0.parquet"]), (3, 3, 0));
    for (files, said) in [
        (
            &["a/train-0.parquet", "b/train-0.parquet"][..],
            "several data sets",
        ),
        (&["test-0.parquet"], "train-*.parquet is not here"),
        (&["README.md"], "train-*.parquet is not here"),
    ] {
        let error = set(files).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.parquet");
    write(&path, &bytes);
    let lone = load_path(&path).unwrap();
    assert!(lone.divided && lone.train.len() == 3);
    let absent = load_path(&dir.path().join("none.parquet")).unwrap_err();
    assert!(absent.to_string().contains("none.parquet"), "{absent}");
}

type Change<'a> = &'a dyn Fn(&mut Sheet);

#[test]
fn what_cannot_be_read_is_named() {
    let with = |change: &dyn Fn(&mut Sheet)| {
        let mut sheet = hub();
        change(&mut sheet);
        refused(&sheet)
    };
    let cases: [(Change<'_>, &[&str]); 14] = [
        (
            &|sheet| sheet.codec = 6,
            &["column label", "Zstandard", "write_table"],
        ),
        (&|sheet| sheet.codec = 4, &["Brotli"]),
        (
            &|sheet| sheet.encoding = 5,
            &["DELTA_BINARY_PACKED", "write_table"],
        ),
        (
            &|sheet| sheet.columns[0].values[3] = None,
            &[
                "train-00000-of-00001.parquet",
                "row 3 of the column image.bytes is null",
            ],
        ),
        (
            &|sheet| sheet.columns[2].values[5] = None,
            &["row 5 of the column label is null"],
        ),
        (
            &|sheet| drop(sheet.columns.remove(2)),
            &["has the columns image; labels", "\"label\""],
        ),
        (
            &|sheet| drop(sheet.columns.drain(..2)),
            &["has the columns label; images", "\"image\" or \"img\""],
        ),
        (
            &|sheet| sheet.columns[2] = encoded(&["label"], &vec![b"cat".to_vec(); 6]),
            &["label holds bytes or texts", "whole numbers"],
        ),
        (
            &|sheet| sheet.columns[0] = numbers(&["image", "bytes"], &LABELS),
            &["image.bytes holds whole numbers"],
        ),
        (
            &|sheet| sheet.columns[2] = numbers(&["label"], &[0, 1, 2, 3, 0, 0]),
            &["parquet, column label: item 3 has label 3", "0..=2"],
        ),
        (
            &|sheet| sheet.rows = Some(1 << 40),
            &["1,099,511,627,776 rows"],
        ),
        (&|sheet| sheet.rows = Some(7), &["another number of values"]),
        (
            &|sheet| (sheet.group, sheet.length) = (1, Some(1000)),
            &["the column label is longer than the file"],
        ),
        (
            &|sheet| sheet.length = Some(20),
            &["column label, from row 0"],
        ),
    ];
    for (change, parts) in cases {
        let message = with(change);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let negative = with(&|sheet| {
        sheet.features = None;
        sheet.columns[2] = numbers(&["label"], &[-1; 6]);
    });
    assert!(negative.contains("label -1"), "{negative}");
    let json = with(&|sheet| sheet.features = Some("{\"info\"".to_owned()));
    assert!(json.contains("\"huggingface\" is damaged"), "{json}");
    let mut other = hub();
    other.features = Some(features(r#"["cat", "dog", "elk"]"#));
    let error = load_both(&hub().bytes(), &other.bytes()).unwrap_err();
    assert!(error.to_string().contains("not those of"), "{error}");
}

#[test]
fn images_are_told_by_their_rows() {
    let mut sheet = hub();
    let mut images = pngs();
    images[4] = png(5, 0);
    sheet.columns[0] = encoded(&["image", "bytes"], &images);
    let message = refused(&sheet);
    for part in [
        "row 4, image.bytes",
        "5×5",
        "row 0, image.bytes",
        "data.size",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.parquet");
    write(&path, &sheet.bytes());
    let options = LoadOptions {
        images: ImageOptions {
            size: Some(Size {
                height: 2,
                width: 2,
            }),
            resize: Some(granule_io::image::Resize::Stretch),
            ..ImageOptions::default()
        },
        ..LoadOptions::default()
    };
    let set = load(&DatasetSpec::Parquet(path), &options).unwrap();
    assert_eq!(set.train.shape().len(), 4);
    images[4] = b"no image".to_vec();
    sheet.columns[0] = encoded(&["image", "bytes"], &images);
    let message = refused(&sheet);
    assert!(message.contains("row 4, image.bytes"), "{message}");
    images[4] = Vec::new();
    sheet.columns[0] = encoded(&["image", "bytes"], &images);
    assert!(refused(&sheet).contains("row 4, image.bytes"));
}

#[test]
fn other_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let said = |bytes: &[u8]| {
        let path = dir.path().join("x.parquet");
        write(&path, bytes);
        load_path(&path).unwrap_err().to_string()
    };
    assert!(said(b"").contains("not a Parquet file"));
    assert!(said(&png(3, 0)).contains("not a Parquet file"));
    assert!(said(b"PAR1").contains("cut off"));
    assert!(said(b"PAR1\xff\xff\xff\xffPAR1").contains("longer than"));
    assert!(said(b"PAR1\0\0\0\0PAR1").contains("makes no sense"));
    assert!(said(b"PAR1....PARE").contains("encrypted"));
}

#[test]
fn cut_anywhere_it_is_an_error() {
    for (codec, encoding, second) in [(0, PLAIN, false), (SNAPPY, DICTIONARY, true)] {
        let sheet = Sheet {
            codec,
            encoding,
            second,
            ..hub()
        };
        let bytes = sheet.bytes();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        for end in 0..bytes.len() {
            write(&path, &bytes[..end]);
            assert!(load_path(&path).is_err(), "{end}");
        }
    }
}

#[test]
fn a_changed_bit_is_an_error_or_as_many_images() {
    for (codec, encoding, second) in [
        (0, PLAIN, false),
        (SNAPPY, DICTIONARY, false),
        (GZIP, PLAIN, true),
    ] {
        let sheet = Sheet {
            codec,
            encoding,
            second,
            ..hub()
        };
        let bytes = sheet.bytes();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (3 * at % 8);
            write(&path, &changed);
            let (result, held) = peak(|| load_path(&path));
            assert!(held < cap(bytes.len()), "{at}: {held} bytes were held");
            if let Ok(set) = result {
                assert_eq!(set.train.len() + set.test.len(), 6);
            }
        }
    }
}

#[test]
fn a_file_of_pyarrow_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["hub.parquet", "hub_second.parquet"] {
        let set = load_path(&fixtures.join(name)).unwrap();
        assert_eq!(set.classes, ["zero", "one"]);
        assert_eq!((set.train.len(), set.test.len()), (6, 2));
        let of = |split: &Split| -> Vec<u8> {
            (0..split.len())
                .map(|at| split.pixels(at).unwrap()[0])
                .collect()
        };
        let mut all = [of(&set.train), of(&set.test)].concat();
        all.sort_unstable();
        assert_eq!(all, [0, 10, 20, 30, 40, 50, 60, 70]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_files_never_panic(damage in damage(), codec in 0i64..3, second: bool, dictionary: bool) {
        let encoding = if dictionary { DICTIONARY } else { PLAIN };
        let mut bytes = Sheet { codec, second, encoding, group: 2, ..hub() }.bytes();
        damage.apply(&mut bytes);
        let (result, held) = peak(|| load_both(&bytes, &hub().bytes()));
        prop_assert!(held < cap(bytes.len()), "{held} bytes were held");
        if let Ok(set) = result {
            prop_assert!(!set.train.is_empty());
        }
    }
}
