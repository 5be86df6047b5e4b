//! Device names as data.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{DeviceError, OpenDevice, error, open};

/// The environment variable that [`DeviceSpec::from_env`] reads.
pub const DEVICE_VARIABLE: &str = "GRANULE_DEVICE";

/// A device by name. It parses, prints and serialises as a word; see the [crate] documentation for the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// `auto`: a real GPU if there is one, else `cpu`.
    #[default]
    Auto,
    /// `cpu`: the faster CPU backend.
    Cpu,
    /// `gpu`: a real GPU or an error.
    Gpu,
    /// `ndarray`: the CPU backend on the ndarray crate.
    NdArray,
    /// `flex`: Burn's own CPU backend.
    Flex,
    /// `wgpu`, `wgpu:discrete:0`, …: an adapter on the best graphics API of the platform.
    Wgpu(Adapter),
    /// `vulkan`, `vulkan:discrete:0`, …: an adapter on Vulkan. Needs the cargo feature `vulkan`.
    Vulkan(Adapter),
    /// `metal`, `metal:integrated:0`, …: an adapter on Metal. Needs the cargo feature `metal`.
    Metal(Adapter),
    /// `cuda:0`: a CUDA device by index. Needs the cargo feature `cuda`.
    Cuda(usize),
}

/// Which adapter of a graphics API. Indices count from zero within each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Adapter {
    /// The first discrete GPU, else the first integrated, else the first virtual one; never a software adapter.
    #[default]
    Best,
    /// A GPU with memory of its own.
    Discrete(usize),
    /// A GPU that shares the memory of the host.
    Integrated(usize),
    /// A GPU handed to a virtual machine.
    Virtual(usize),
    /// A software rasteriser that runs on the CPU.
    Software(usize),
}

impl DeviceSpec {
    /// Every accepted word, in its shortest form.
    pub const WORDS: [&'static str; 17] = [
        "auto",
        "cpu",
        "gpu",
        "flex",
        "ndarray",
        "wgpu",
        "wgpu:discrete:0",
        "wgpu:integrated:0",
        "wgpu:virtual:0",
        "wgpu:software",
        "vulkan",
        "vulkan:discrete:0",
        "vulkan:integrated:0",
        "vulkan:virtual:0",
        "vulkan:software",
        "metal",
        "cuda:0",
    ];

    /// The device that `GRANULE_DEVICE` names, or `None` where the variable is unset or blank.
    ///
    /// # Errors
    /// [`DeviceError::Variable`] when the value names no device.
    pub fn from_env() -> Result<Option<Self>, DeviceError> {
        Self::from_variable(std::env::var_os(DEVICE_VARIABLE).as_deref())
    }

    fn from_variable(value: Option<&std::ffi::OsStr>) -> Result<Option<Self>, DeviceError> {
        let Some(value) = value else {
            return Ok(None);
        };
        let text = value.to_string_lossy();
        if text.trim().is_empty() {
            return Ok(None);
        }
        match parse(&text) {
            Some(spec) => Ok(Some(spec)),
            None => Err(DeviceError::Variable {
                variable: DEVICE_VARIABLE,
                nearest: error::nearest(&text),
                value: text.into_owned(),
            }),
        }
    }

    /// Opens the device, or hands out the one that is already open in this process.
    ///
    /// The backend is never changed silently: what cannot be opened is an error that lists what was found.
    ///
    /// # Errors
    /// [`DeviceError::NotCompiled`] where the build lacks the backend, [`DeviceError::Absent`] where the machine lacks
    /// the device, [`DeviceError::Refused`] where the driver or the runtime turned it down.
    pub fn open(&self) -> Result<OpenDevice, DeviceError> {
        open::open(self)
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Cpu => f.pad("cpu"),
            Self::Gpu => f.pad("gpu"),
            Self::NdArray => f.pad("ndarray"),
            Self::Flex => f.pad("flex"),
            Self::Wgpu(adapter) => f.pad(&format!("wgpu{adapter}")),
            Self::Vulkan(adapter) => f.pad(&format!("vulkan{adapter}")),
            Self::Metal(adapter) => f.pad(&format!("metal{adapter}")),
            Self::Cuda(index) => f.pad(&format!("cuda:{index}")),
        }
    }
}

/// The part of a device name after its backend: empty, `:discrete:0`, `:software`, ….
impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => Ok(()),
            Self::Discrete(index) => write!(f, ":discrete:{index}"),
            Self::Integrated(index) => write!(f, ":integrated:{index}"),
            Self::Virtual(index) => write!(f, ":virtual:{index}"),
            Self::Software(0) => f.write_str(":software"),
            Self::Software(index) => write!(f, ":software:{index}"),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| DeviceError::Spelling {
            nearest: error::nearest(text),
            value: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<DeviceSpec> {
    let word = text.trim().to_ascii_lowercase();
    let mut parts = word.split(':');
    let parts = (parts.next()?, parts.next(), parts.next(), parts.next());
    match parts {
        ("auto", None, ..) => Some(DeviceSpec::Auto),
        ("cpu", None, ..) => Some(DeviceSpec::Cpu),
        ("gpu", None, ..) => Some(DeviceSpec::Gpu),
        ("ndarray", None, ..) => Some(DeviceSpec::NdArray),
        ("flex", None, ..) => Some(DeviceSpec::Flex),
        ("cuda", None, ..) => Some(DeviceSpec::Cuda(0)),
        ("cuda", Some(digits), None, _) => parse_index(digits).map(DeviceSpec::Cuda),
        ("wgpu", kind, index, None) => parse_adapter(kind, index).map(DeviceSpec::Wgpu),
        ("vulkan", kind, index, None) => parse_adapter(kind, index).map(DeviceSpec::Vulkan),
        ("metal", kind, index, None) => parse_adapter(kind, index).map(DeviceSpec::Metal),
        _ => None,
    }
}

fn parse_adapter(kind: Option<&str>, index: Option<&str>) -> Option<Adapter> {
    let Some(kind) = kind else {
        return Some(Adapter::Best);
    };
    let index = match index {
        Some(digits) => parse_index(digits)?,
        None => 0,
    };
    match kind {
        "discrete" => Some(Adapter::Discrete(index)),
        "integrated" => Some(Adapter::Integrated(index)),
        "virtual" => Some(Adapter::Virtual(index)),
        "software" => Some(Adapter::Software(index)),
        _ => None,
    }
}

/// Digits only: `usize::from_str` also takes a leading `+`.
fn parse_index(digits: &str) -> Option<usize> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

impl Serialize for DeviceSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for DeviceSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeviceSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^ *(?i:auto|cpu|gpu|ndarray|flex|wgpu|vulkan|metal|cuda)(:.*)? *$",
            "words": Self::WORDS,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;

    fn any_adapter() -> impl Strategy<Value = Adapter> {
        prop_oneof![
            Just(Adapter::Best),
            any::<usize>().prop_map(Adapter::Discrete),
            any::<usize>().prop_map(Adapter::Integrated),
            any::<usize>().prop_map(Adapter::Virtual),
            any::<usize>().prop_map(Adapter::Software),
        ]
    }

    fn any_spec() -> impl Strategy<Value = DeviceSpec> {
        prop_oneof![
            Just(DeviceSpec::Auto),
            Just(DeviceSpec::Cpu),
            Just(DeviceSpec::Gpu),
            Just(DeviceSpec::NdArray),
            Just(DeviceSpec::Flex),
            any_adapter().prop_map(DeviceSpec::Wgpu),
            any_adapter().prop_map(DeviceSpec::Vulkan),
            any_adapter().prop_map(DeviceSpec::Metal),
            any::<usize>().prop_map(DeviceSpec::Cuda),
        ]
    }

    proptest! {
        #[test]
        fn a_printed_name_parses_back(spec in any_spec()) {
            prop_assert_eq!(spec.to_string().parse::<DeviceSpec>().unwrap(), spec);
        }

        #[test]
        fn arbitrary_text_is_a_device_or_an_error(text in any::<String>()) {
            if let Err(error) = text.parse::<DeviceSpec>() {
                prop_assert!(error.to_string().contains("wgpu:discrete:0"));
            }
        }

        #[test]
        fn near_misses_are_a_device_or_an_error(text in "(wgpu|vulkan|cuda|cpu)?(:?[a-z0-9+-]{0,12}){0,4}") {
            if let Ok(spec) = text.parse::<DeviceSpec>() {
                prop_assert_eq!(spec.to_string().parse::<DeviceSpec>().unwrap(), spec);
            }
        }
    }

    #[test]
    fn every_listed_word_is_accepted_and_shortest() {
        for word in DeviceSpec::WORDS {
            assert_eq!(word.parse::<DeviceSpec>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn short_forms_mean_the_first_adapter() {
        for (word, spec) in [
            ("wgpu:discrete", DeviceSpec::Wgpu(Adapter::Discrete(0))),
            ("wgpu:software:0", DeviceSpec::Wgpu(Adapter::Software(0))),
            (" WGPU:Virtual:3 ", DeviceSpec::Wgpu(Adapter::Virtual(3))),
            ("cuda", DeviceSpec::Cuda(0)),
        ] {
            assert_eq!(word.parse::<DeviceSpec>().unwrap(), spec, "{word}");
        }
    }

    #[test]
    fn malformed_names_are_refused() {
        for word in [
            "",
            ":",
            "wgpu:",
            "wgpu:0",
            "wgpu:best",
            "wgpu:discrete:",
            "wgpu:discrete:-1",
            "wgpu:discrete:+1",
            "wgpu:discrete:0:0",
            "wgpu:discrete:99999999999999999999999",
            "cpu:0",
            "auto:",
            "cuda:",
            "cuda:x",
            "cuda:0:0",
            "flex:discrete:0",
        ] {
            assert!(word.parse::<DeviceSpec>().is_err(), "{word:?} was accepted");
        }
    }

    #[test]
    fn a_misspelling_suggests_the_nearest_word() {
        for (typed, meant) in [
            ("gpuw", "gpu"),
            ("wgup", "wgpu"),
            ("felx", "flex"),
            ("nd-array", "ndarray"),
            ("wgpu:discreet:0", "wgpu:discrete:0"),
            ("wgpu:sofware", "wgpu:software"),
            ("llvmpipe", "wgpu:software"),
            ("cuda0", "cuda:0"),
            ("cudda", "cuda:0"),
            ("gpu:0", "gpu"),
        ] {
            let error = typed.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("did you mean `{meant}`")),
                "{error}"
            );
        }
        let error = "quantum".parse::<DeviceSpec>().unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn the_variable_is_named_when_it_is_wrong() {
        assert_eq!(DeviceSpec::from_variable(None).unwrap(), None);
        assert_eq!(
            DeviceSpec::from_variable(Some(OsStr::new(" "))).unwrap(),
            None
        );
        assert_eq!(
            DeviceSpec::from_variable(Some(OsStr::new("flex"))).unwrap(),
            Some(DeviceSpec::Flex)
        );
        let error = DeviceSpec::from_variable(Some(OsStr::new("flexx")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("GRANULE_DEVICE") && error.contains("`flex`"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_text_is_an_error() {
        use std::os::unix::ffi::OsStrExt;
        let value = OsStr::from_bytes(b"flex\xff");
        assert!(DeviceSpec::from_variable(Some(value)).is_err());
    }
}
