//! Sweeps of patch clamp, in bytes by the published layouts.

use std::path::Path;

use granule_data::DataError;
use granule_data::numbers::{Course, read_course};
use hdf5_pure::{AttrValue, FileBuilder};

/// A file of pCLAMP with two channels, 3 sweeps of 128 samples 0.05 ms apart.
struct Abf {
    mode: i16,
    format: i16,
    sweeps: u32,
    /// Of both channels.
    samples: i32,
    /// `[sweep][sample] → [mV, pA]` before the scale.
    raw: Vec<[i16; 2]>,
    channels: Vec<(&'static str, &'static str)>,
    /// Kind, level, its increment, duration, its increment, period, width.
    epochs: Vec<(i16, f32, f32, i32, i32, i32, i32)>,
    source: i16,
    holds_last: i16,
}

impl Default for Abf {
    fn default() -> Self {
        let raw = (0..3 * 128).map(|k| [k as i16 - 200, 2 * k as i16]);
        Self {
            mode: 5,
            format: 0,
            sweeps: 3,
            samples: 256,
            raw: raw.collect(),
            channels: vec![("IN 0", "mV"), ("IN 1", "nA")],
            epochs: Vec::new(),
            source: 1,
            holds_last: 0,
        }
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

impl Abf {
    fn bytes(&self) -> Vec<u8> {
        let mut all = vec![0_u8; 512];
        all[..4].copy_from_slice(b"ABF2");
        put(&mut all, 12, self.sweeps.to_le_bytes());
        put(&mut all, 30, self.format.to_le_bytes());
        let mut section = |place: usize, size: u32, entries: i64, content: Vec<u8>| {
            let block = (all.len() / 512) as u32;
            put(&mut all, place, block.to_le_bytes());
            put(&mut all, place + 4, size.to_le_bytes());
            put(&mut all, place + 8, entries.to_le_bytes());
            all.extend(&content);
            all.resize(all.len().next_multiple_of(512), 0);
        };
        let mut protocol = vec![0; 512];
        put(&mut protocol, 0, self.mode.to_le_bytes());
        put(&mut protocol, 2, 50.0_f32.to_le_bytes());
        put(&mut protocol, 22, self.samples.to_le_bytes());
        put(&mut protocol, 110, 10.0_f32.to_le_bytes());
        put(&mut protocol, 118, 32768_i32.to_le_bytes());
        section(76, 512, 1, protocol);

        let mut texts = b"SSCH....\0\0Clampex\0".to_vec();
        let mut adc = Vec::new();
        let mut next = 2_i32;
        for (index, (name, unit)) in self.channels.iter().enumerate() {
            let mut own = vec![0; 128];
            put(&mut own, 0, (index as i16).to_le_bytes());
            // The telegraphed gain of the second counts.
            put(&mut own, 2, (index as i16).to_le_bytes());
            put(&mut own, 6, 5.0_f32.to_le_bytes());
            put(&mut own, 28, 1.0_f32.to_le_bytes());
            put(&mut own, 40, [0.01_f32, 0.5][index % 2].to_le_bytes());
            put(&mut own, 44, 3.0_f32.to_le_bytes());
            put(&mut own, 48, 1.0_f32.to_le_bytes());
            put(&mut own, 52, 1.0_f32.to_le_bytes());
            put(&mut own, 74, next.to_le_bytes());
            put(&mut own, 78, (next + 1).to_le_bytes());
            next += 2;
            texts.extend(format!("{name}\0{unit}\0").as_bytes());
            adc.extend(own);
        }
        section(92, 128, self.channels.len() as i64, adc);

        let mut dac = vec![0; 256];
        put(&mut dac, 12, 7.0_f32.to_le_bytes());
        put(&mut dac, 24, next.to_le_bytes());
        put(&mut dac, 28, (next + 1).to_le_bytes());
        put(
            &mut dac,
            40,
            i16::from(!self.epochs.is_empty()).to_le_bytes(),
        );
        put(&mut dac, 42, self.source.to_le_bytes());
        put(&mut dac, 44, self.holds_last.to_le_bytes());
        texts.extend(b"Cmd 0\0pA");
        section(108, 256, 1, dac);

        let mut epochs = Vec::new();
        for (index, own) in self.epochs.iter().enumerate() {
            let mut entry = vec![0; 48];
            put(&mut entry, 0, (index as i16).to_le_bytes());
            put(&mut entry, 4, own.0.to_le_bytes());
            put(&mut entry, 6, own.1.to_le_bytes());
            put(&mut entry, 10, own.2.to_le_bytes());
            put(&mut entry, 14, own.3.to_le_bytes());
            put(&mut entry, 18, own.4.to_le_bytes());
            put(&mut entry, 22, own.5.to_le_bytes());
            put(&mut entry, 26, own.6.to_le_bytes());
            epochs.extend(entry);
        }
        section(156, 48, self.epochs.len() as i64, epochs);
        let length = texts.len() as u32;
        section(220, length, 1, texts);
        let width = self.channels.len();
        let mut data: Vec<u8> = Vec::new();
        for scan in &self.raw {
            for raw in &scan[..width.min(2)] {
                if self.format == 1 {
                    data.extend(f32::from(*raw).to_le_bytes());
                } else {
                    data.extend(raw.to_le_bytes());
                }
            }
        }
        let size = if self.format == 1 { 4 } else { 2 };
        let count = self.raw.len() * width.min(2);
        section(236, size, count as i64, data);
        all
    }

    fn read(&self, array: Option<&str>) -> Result<Course, DataError> {
        read_bytes("cell.abf", &self.bytes(), array)
    }

    fn refused(&self, array: Option<&str>) -> String {
        let error = self.read(array).unwrap_err().to_string();
        assert!(error.contains("cell.abf"), "{error}");
        error
    }
}

fn read_bytes(name: &str, bytes: &[u8], array: Option<&str>) -> Result<Course, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read_course(&path, array)
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn channels_of_pclamp_are_scaled_to_their_units() {
    let file = Abf::default();
    let voltage = file.read(Some("voltage")).unwrap();
    assert_eq!((voltage.width, voltage.values.len()), (3, 384));
    assert_eq!(voltage.unit.as_deref(), Some("mV"));
    let times = voltage.times.unwrap();
    assert_eq!((times.len(), times[0]), (128, 0.0));
    close(times[127], 127.0 * 0.05);
    // 10 V over 32768 steps, 0.01 V/mV; an offset of 3 − 1.
    for (sweep, sample) in [(0, 0), (1, 5), (2, 127)] {
        let raw = f64::from(sweep * 128 + sample - 200);
        let expected = raw * 10.0 / 32768.0 / f64::from(0.01_f32) + 2.0;
        close(voltage.values[(sample * 3 + sweep) as usize], expected);
    }
    let current = file.read(Some("current")).unwrap();
    assert_eq!(current.unit.as_deref(), Some("nA"));
    close(
        current.values[3 * 10 + 1],
        2.0 * 138.0 * 10.0 / 32768.0 / (0.5 * 5.0) + 2.0,
    );
    let named = file.read(Some("IN 1")).unwrap();
    assert_eq!(named.values, current.values);
    // What a stimulus is read from is the current.
    assert_eq!(file.read(None).unwrap().values, current.values);
    // Floating-point numbers are in their unit.
    let floats = Abf {
        format: 1,
        ..Default::default()
    };
    close(
        floats.read(Some("voltage")).unwrap().values[3 * 5 + 1],
        f64::from(128 + 5 - 200),
    );
    // Without gaps it is one sweep.
    let one = Abf {
        mode: 3,
        ..Default::default()
    };
    let one = one.read(Some("voltage")).unwrap();
    assert_eq!((one.width, one.values.len()), (1, 384));
}

#[test]
fn what_no_channel_recorded_is_the_current_of_the_protocol() {
    let file = Abf {
        channels: vec![("IN 0", "mV")],
        samples: 128,
        epochs: vec![
            (1, 10.0, 20.0, 20, 0, 0, 0),
            (0, 99.0, 0.0, 50, 0, 0, 0),
            (2, 50.0, 0.0, 11, 2, 0, 0),
            (3, 5.0, 0.0, 25, 0, 10, 4),
        ],
        ..Default::default()
    };
    let current = file.read(Some("current")).unwrap();
    assert_eq!((current.width, current.unit.as_deref()), (3, Some("pA")));
    let at = |sweep: usize, sample: usize| current.values[sample * 3 + sweep];
    for sweep in 0..3 {
        let step = 10.0 + 20.0 * sweep as f64;
        let ramp = 11 + 2 * sweep;
        // Two samples are a 64th of the sweep.
        close(at(sweep, 0), 7.0);
        close(at(sweep, 1), 7.0);
        close(at(sweep, 2), step);
        close(at(sweep, 21), step);
        // A straight line from the level before to its own.
        close(at(sweep, 22), step);
        let middle = step + (50.0 - step) * 4.0 / (ramp - 1) as f64;
        close(at(sweep, 26), middle);
        close(at(sweep, 21 + ramp), 50.0);
        // Two whole periods of pulses, between them the level before.
        let train = 22 + ramp;
        for (sample, level) in [
            (0, 5.0),
            (3, 5.0),
            (4, 50.0),
            (10, 5.0),
            (14, 50.0),
            (20, 50.0),
        ] {
            close(at(sweep, train + sample), level);
        }
        close(at(sweep, train + 25), 7.0);
        close(at(sweep, 127), 7.0);
    }
    let holds = Abf {
        holds_last: 1,
        epochs: vec![(1, 10.0, 20.0, 20, 0, 0, 0)],
        ..file
    };
    let current = holds.read(Some("current")).unwrap();
    close(current.values[3 * 127], 10.0);
    // The next sweep begins there.
    close(current.values[1], 10.0);
    // An output that does nothing holds.
    let still = Abf {
        epochs: Vec::new(),
        ..holds
    };
    assert!(
        still
            .read(Some("current"))
            .unwrap()
            .values
            .iter()
            .all(|x| *x == 7.0)
    );
}

#[test]
fn damaged_files_of_pclamp_are_errors() {
    let whole = Abf::default().bytes();
    for length in [
        0,
        3,
        4,
        100,
        511,
        512,
        600,
        1024,
        whole.len() / 2,
        whole.len() - 512,
    ] {
        assert!(
            read_bytes("cell.abf", &whole[..length], None).is_err(),
            "{length}"
        );
    }
    // Bytes of the header and of the sections that it names at their extremes: an answer or an error, and no panic.
    for at in (0..260).chain((512..whole.len().min(2560)).step_by(3)) {
        for (value, array) in [(0x7f, "voltage"), (0xff, "current")] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(course) = read_bytes("cell.abf", &bytes, Some(array)) {
                assert!(course.values.iter().all(|x| x.is_finite()));
            }
        }
    }
    let mut old = whole.clone();
    old[..4].copy_from_slice(b"ABF ");
    let error = read_bytes("cell.abf", &old, None).unwrap_err().to_string();
    assert!(error.contains("version 1"), "{error}");
    let with = |change: &dyn Fn(&mut Abf)| {
        let mut file = Abf::default();
        change(&mut file);
        file
    };
    assert!(
        with(&|own| own.mode = 1)
            .refused(Some("voltage"))
            .contains("the mode 1")
    );
    assert!(
        with(&|own| own.format = 2)
            .refused(Some("voltage"))
            .contains("format 2")
    );
    assert!(
        with(&|own| own.sweeps = 4)
            .refused(Some("voltage"))
            .contains("4 sweeps")
    );
    assert!(
        with(&|own| own.sweeps = u32::MAX)
            .refused(Some("voltage"))
            .contains("sweeps")
    );
    assert!(
        with(&|own| own.samples = -2)
            .refused(Some("voltage"))
            .contains("0 samples")
    );
    assert!(
        with(&|own| own.channels = vec![])
            .refused(Some("voltage"))
            .contains("no channel")
    );
    let own = with(&|_| ()).refused(Some("IN 7"));
    assert!(
        own.contains("no IN 7") && own.contains("IN 0 (mV)"),
        "{own}"
    );
    let other = |own: &mut Abf| {
        own.channels = vec![("IN 0", "mV")];
        own.samples = 128;
        own.epochs = vec![(5, 1.0, 0.0, 5, 0, 0, 0)];
    };
    assert!(with(&other).refused(Some("current")).contains("kind 5"));
    let file = |own: &mut Abf| {
        other(own);
        own.source = 2;
    };
    assert!(
        with(&file)
            .refused(Some("current"))
            .contains("another file")
    );
}

/// Its number, voltages in mV and currents in pA.
type Sweep = (u32, Vec<f64>, Option<Vec<f64>>);

/// An NWB file of sweeps at `rate` Hz.
fn nwb(sweeps: &[Sweep], rate: f64, unit: &str) -> Vec<u8> {
    let mut file = FileBuilder::new();
    for (number, voltage, current) in sweeps {
        let mut series = |kind: &str, name: String, unit: &str, scale: f64, data: &[f64]| {
            let mut group = file.create_group(&name);
            group.set_attr("neurodata_type", AttrValue::String(kind.into()));
            group.set_attr("sweep_number", AttrValue::U32(*number));
            group
                .create_dataset("data")
                .with_f64_data(data)
                .set_attr("unit", AttrValue::String(unit.into()))
                .set_attr("conversion", AttrValue::F64(scale));
            group
                .create_dataset("starting_time")
                .with_f64_data(&[0.0])
                .set_attr("rate", AttrValue::F64(rate));
            file.add_group(group.finish());
        };
        let name = format!("response_{number:02}");
        series("CurrentClampSeries", name, unit, 1e-3, voltage);
        if let Some(current) = current {
            let name = format!("stimulus_{number:02}");
            series(
                "CurrentClampStimulusSeries",
                name,
                "amperes",
                1e-12,
                current,
            );
        }
    }
    file.finish().unwrap()
}

fn named(bytes: &[u8], array: Option<&str>) -> Result<Course, DataError> {
    read_bytes("cell.nwb", bytes, array)
}

#[test]
fn sweeps_of_nwb_are_paired_by_their_number() {
    // Sweep 12 before 3 by no order but their names, and one without a stimulus.
    let bytes = nwb(
        &[
            (12, vec![-70.0, -60.0, -50.0], Some(vec![0.0, 20.0, 20.0])),
            (3, vec![-71.0, -61.0, -51.0], Some(vec![0.0, 10.0, 10.0])),
            (4, vec![-72.0, -62.0, -52.0], None),
        ],
        20_000.0,
        "volts",
    );
    let voltage = named(&bytes, Some("voltage")).unwrap();
    assert_eq!((voltage.width, voltage.unit.as_deref()), (2, Some("V")));
    close(voltage.times.as_ref().unwrap()[2], 0.1);
    let expected = [-71.0, -70.0, -61.0, -60.0, -51.0, -50.0];
    for (found, expected) in voltage.values.iter().zip(expected) {
        close(1e3 * found, expected);
    }
    let current = named(&bytes, Some("current")).unwrap();
    assert_eq!(current.unit.as_deref(), Some("A"));
    close(1e12 * current.values[3], 20.0);
    let one = named(&bytes, Some("voltage/12")).unwrap();
    assert_eq!(one.width, 1);
    close(1e3 * one.values[0], -70.0);
}

#[test]
fn sweeps_of_nwb_that_do_not_fit_are_named() {
    let refused = |bytes: &[u8], array: Option<&str>| {
        let error = named(bytes, array).unwrap_err().to_string();
        assert!(error.contains("cell.nwb"), "{error}");
        error
    };
    let of = |lengths: [usize; 2], rate, unit| {
        let sweeps = lengths.iter().enumerate();
        let sweeps = sweeps.map(|(number, length)| (number as u32, vec![0.5; *length], None));
        nwb(&sweeps.collect::<Vec<_>>(), rate, unit)
    };
    let good = of([3, 3], 1000.0, "volts");
    assert_eq!(named(&good, Some("voltage")).unwrap().width, 2);
    let uneven = refused(&of([3, 4], 1000.0, "volts"), Some("voltage"));
    assert!(
        uneven.contains("4 samples") && uneven.contains("voltage/N"),
        "{uneven}"
    );
    assert!(refused(&good, Some("current")).contains("no current"));
    assert!(refused(&good, Some("height")).contains("no height"));
    assert!(refused(&good, Some("voltage/x")).contains("no voltage/x"));
    assert!(refused(&good, Some("voltage/7")).contains("no voltage/7"));
    assert!(refused(&of([3, 3], 0.0, "volts"), Some("voltage")).contains("no rate"));
    assert!(refused(&of([3, 3], 1000.0, "amperes"), Some("voltage")).contains("not in volts"));
    let nan = nwb(&[(0, vec![0.5, f64::NAN], None)], 1000.0, "volts");
    assert!(refused(&nan, Some("voltage")).contains("sample 1 is NaN"));
    for length in [0, 8, 100, good.len() / 2, good.len() - 9] {
        assert!(named(&good[..length], Some("voltage")).is_err(), "{length}");
    }
    assert!(read_course(Path::new("cell.nwb"), None).is_err());
}
