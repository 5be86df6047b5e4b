//! Pickles of tensors, as `torch.save` writes them: the few things that state dicts are made of.

use std::collections::BTreeMap;
use std::path::Path;

use granule_data::DataError;
use granule_data::pickle::{self, Id, Refusal, Value, Values, Vocabulary, damaged};

use crate::InterchangeError;
use crate::weights::{Element, elements};

/// The most bytes of a pickle: names, shapes and places of tensors, not their elements.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// The most tensors of a pickle, and the most names of tensors in a state dict.
const MOST_TENSORS: usize = 1 << 16;

/// The most letters of the name of a member that holds elements.
const MOST_LETTERS: usize = 255;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 32;

/// What was unpickled.
pub(super) struct Pickle<'a>(pickle::Pickle<'a, Torch>);

/// What state dicts are made of.
#[derive(Debug, Default)]
struct Torch {
    /// How many were made, and kept.
    storages: usize,
    tensors: usize,
}

/// What a pickle may name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// The type of the elements of a storage.
    Storage(Element),
}

/// What a call makes.
#[derive(Debug)]
enum Object {
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
}

/// Elements in a member of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// The member's name.
    pub(super) key: String,
    pub(super) element: Element,
    /// How many elements there are.
    pub(super) count: usize,
}

/// Some elements of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Tensor {
    /// A tensor all of whose elements are in its storage, and have places that can be counted in bytes.
    fn new(
        storage: Storage,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Option<Self> {
        elements(&shape)?;
        let size = storage.element.size().unwrap_or(1);
        storage.count.checked_mul(size)?;
        offset.checked_mul(size)?;
        if shape.len() != strides.len() {
            return None;
        }
        let mut last = offset;
        if !shape.contains(&0) {
            for (dim, stride) in shape.iter().zip(&strides) {
                last = last.checked_add((dim - 1).checked_mul(*stride)?)?;
            }
            if last >= storage.count {
                return None;
            }
        }
        Some(Self {
            storage,
            offset,
            shape,
            strides,
        })
    }

    /// Whether its elements lie one after the other.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = 1_usize;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(dim, stride)| {
                let fits = *dim == 1 || *stride == expected;
                expected = dim.saturating_mul(expected);
                fits
            })
    }
}

/// Of state dicts within a checkpoint, the keys under which they usually stand.
const WITHIN: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "weights"];

impl Pickle<'_> {
    /// The tensors of the state dict by their names; it may stand within another dict, beside tensors that are none of its.
    pub(super) fn tensors(self, path: &Path) -> Result<Vec<(String, Tensor)>, InterchangeError> {
        let Self(pickle::Pickle { values, top }) = &self;
        let within = WITHIN.iter().filter_map(|key| values.entry(*top, key));
        let mut dicts = within.chain([*top]).map(|id| tensors_of(values, id));
        let found = dicts.find(|found| !found.is_empty()).ok_or_else(|| {
            let reason = "it holds no state dict, tensors by name; write one by torch.save(model.state_dict(), FILE)";
            InterchangeError::format(path, reason)
        })?;
        if found.len() > MOST_TENSORS {
            return Err(InterchangeError::format(path, too_many_tensors()));
        }
        let owned = found.into_iter();
        let owned = owned.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        Ok(owned.collect())
    }
}

/// The tensors of a dict; of those of one name the last.
fn tensors_of<'v>(values: &'v Values<'_, Torch>, dict: Id) -> Vec<(&'v str, &'v Tensor)> {
    let pairs = values.pairs(dict).iter();
    let named = pairs.filter_map(|&(name, value)| Some((values.text(name)?, value)));
    let named: BTreeMap<&str, Id> = named.collect();
    let tensors = named
        .into_iter()
        .filter_map(|(name, value)| match values.get(value) {
            Some(Value::Object(Object::Tensor(tensor))) => Some((name, &**tensor)),
            _ => None,
        });
    tensors.collect()
}

fn too_many_tensors() -> String {
    format!(
        "it has more than {MOST_TENSORS} tensors, which no state dict has; save the weights alone, by \
         torch.save(model.state_dict(), FILE)"
    )
}

/// Runs a pickle.
///
/// # Errors
///
/// [`InterchangeError::Code`] for what it names beside tensors; that it is damaged.
pub(super) fn unpickle<'a>(bytes: &'a [u8], path: &Path) -> Result<Pickle<'a>, InterchangeError> {
    match pickle::unpickle(bytes, path, Torch::default()) {
        Ok(pickle) => Ok(Pickle(pickle)),
        Err(DataError::Code { path, global }) => Err(InterchangeError::Code { path, global }),
        Err(error) => Err(error.into()),
    }
}

impl Vocabulary for Torch {
    type Global = Global;
    type Object = Object;

    /// A tensor of a state dict takes about twenty.
    const MOST_VALUES: usize = 1 << 22;
    const TOO_MANY: &str =
        "which no state dict has; save the weights alone, by torch.save(model.state_dict(), FILE)";

    fn global(module: &str, name: &str) -> Option<Global> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", storage) => Some(Global::Storage(match storage.strip_suffix("Storage")? {
                "Float" => Element::F32,
                "Double" => Element::F64,
                "Half" => Element::F16,
                "BFloat16" => Element::Bf16,
                "Long" => Element::Other("int64".to_owned()),
                "Int" => Element::Other("int32".to_owned()),
                "Short" => Element::Other("int16".to_owned()),
                "Char" => Element::Other("int8".to_owned()),
                "Byte" => Element::Other("uint8".to_owned()),
                "Bool" => Element::Other("bool".to_owned()),
                _ => return None,
            })),
            _ => None,
        }
    }

    fn call<'a>(
        &mut self,
        values: &Values<'a, Self>,
        called: &Global,
        given: &[Id],
    ) -> Result<Value<'a, Self>, Refusal> {
        if *called == Global::RebuildTensor && has_metadata(values, given) {
            return Err(
                "a tensor of it has metadata, as one that is conjugated or negated when it is read; save \
                 tensor.resolve_conj().resolve_neg() in its place"
                    .to_owned()
                    .into(),
            );
        }
        let made = made(values, called, given);
        let made = made.ok_or_else(|| damaged("a tensor's description makes no sense"))?;
        if let Value::Object(_) = made {
            counted(&mut self.tensors)?;
        }
        Ok(made)
    }

    fn elsewhere<'a>(
        &mut self,
        values: &Values<'a, Self>,
        name: Id,
    ) -> Result<Value<'a, Self>, Refusal> {
        let storage = storage(values, name);
        let storage = storage.ok_or_else(|| damaged("a tensor has no place in the file"))?;
        counted(&mut self.storages)?;
        Ok(Value::Object(Object::Storage(Box::new(storage))))
    }
}

/// One more of them, which are not too many.
fn counted(made: &mut usize) -> Result<(), String> {
    *made += 1;
    if *made > MOST_TENSORS {
        return Err(too_many_tensors());
    }
    Ok(())
}

/// Whether a tensor's description has the seventh part, and that says something.
fn has_metadata(values: &Values<'_, Torch>, given: &[Id]) -> bool {
    let metadata = given.get(6).map(|id| values.get(*id));
    metadata.is_some_and(|value| match value {
        Some(Value::Nothing) => false,
        Some(Value::Dict(pairs)) => !pairs.is_empty(),
        _ => true,
    })
}

fn made<'a>(values: &Values<'a, Torch>, called: &Global, given: &[Id]) -> Option<Value<'a, Torch>> {
    match (called, given) {
        (Global::OrderedDict, []) => Some(Value::Dict(Vec::new())),
        (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
            let Value::Object(Object::Storage(storage)) = values.get(*storage)? else {
                return None;
            };
            let offset = values.count(*offset)?;
            let (shape, strides) = (extents(values, *shape)?, extents(values, *strides)?);
            let tensor = Tensor::new(Storage::clone(storage), offset, shape, strides)?;
            Some(Value::Object(Object::Tensor(Box::new(tensor))))
        }
        (Global::RebuildParameter, [tensor, ..]) => match values.get(*tensor)? {
            Value::Object(Object::Tensor(tensor)) => {
                Some(Value::Object(Object::Tensor(tensor.clone())))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What a tuple `("storage", type, key, device, count)` says.
fn storage(values: &Values<'_, Torch>, id: Id) -> Option<Storage> {
    let Some(Value::Tuple(items)) = values.get(id) else {
        return None;
    };
    let [kind, element, key, _, count] = items[..] else {
        return None;
    };
    match [kind, element, key].map(|id| values.get(id)) {
        [
            Some(Value::Text("storage")),
            Some(Value::Global(Global::Storage(element))),
            Some(Value::Text(key)),
        ] if key.len() <= MOST_LETTERS => Some(Storage {
            key: (*key).to_owned(),
            element: element.clone(),
            count: values.count(count)?,
        }),
        _ => None,
    }
}

fn extents(values: &Values<'_, Torch>, id: Id) -> Option<Vec<usize>> {
    match values.get(id) {
        Some(Value::Tuple(items)) if items.len() <= MOST_DIMENSIONS => {
            items.iter().map(|id| values.count(*id)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `torch.save(OrderedDict(w=torch.zeros(2, 3)))` writes, by hand.
    fn state_dict() -> Vec<u8> {
        let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01".to_vec();
        bytes.extend(b"X\x01\x00\x00\x00wq\x02");
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x03(");
        bytes.extend(b"(X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05");
        bytes.extend(b"X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x06tq\x08Q");
        bytes.extend(b"K\x00K\x02K\x03\x86q\x09K\x03K\x01\x86q\x0a\x89h\x00)Rq\x0btq\x0cRq\x0ds}");
        bytes.extend(b"X\x09\x00\x00\x00_metadata}sb.");
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, InterchangeError> {
        let path = Path::new("w.pt");
        unpickle(bytes, path)?.tensors(path)
    }

    #[test]
    fn a_state_dict_is_read() {
        let found = read(&state_dict()).unwrap();
        let [(name, tensor)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(name, "w");
        assert_eq!(tensor.shape, [2, 3]);
        assert!(tensor.is_contiguous());
        assert_eq!(tensor.storage.element, Element::F32);
        assert_eq!(
            (tensor.storage.key.as_str(), tensor.storage.count),
            ("0", 6)
        );
    }

    #[test]
    fn code_is_refused_by_its_name_and_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let witness = folder.path().join("ran");
        let shell = format!("touch {}", witness.display());
        for module in ["os", "posix", "builtins"] {
            let mut bytes = format!("\x02c{module}\nsystem\n(X").into_bytes();
            bytes.insert(0, 0x80);
            bytes.extend((shell.len() as u32).to_le_bytes());
            bytes.extend(shell.as_bytes());
            bytes.extend(b"tR.");
            let error = read(&bytes).unwrap_err();
            let InterchangeError::Code { global, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(*global, format!("{module}.system"));
        }
        // The same by the stack, and a whole module.
        let by_stack = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.";
        assert!(matches!(read(by_stack), Err(InterchangeError::Code { .. })));
        let module = b"\x80\x02c__main__\nLeNet\n)\x81.";
        let error = read(module).unwrap_err().to_string();
        assert!(error.contains("__main__.LeNet"), "{error}");
        assert!(!witness.exists());
    }

    #[test]
    fn whatever_is_cut_or_changed_is_an_error_or_a_tensor_within_its_storage() {
        let whole = state_dict();
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                for (_, tensor) in read(&changed).unwrap_or_default() {
                    let last = tensor.shape.iter().zip(&tensor.strides);
                    let last: usize = last.map(|(dim, stride)| (dim.max(&1) - 1) * stride).sum();
                    assert!(tensor.offset + last < tensor.storage.count.max(1));
                }
            }
        }
    }

    #[test]
    fn more_values_than_a_state_dict_has_are_refused() {
        let mut bytes = b"\x80\x02".to_vec();
        bytes.resize(Torch::MOST_VALUES + 10, b')');
        bytes.push(b'.');
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("values"), "{error}");
    }

    #[test]
    fn more_tensors_than_a_state_dict_has_are_refused() {
        let text = |text: &str| {
            let mut bytes = b"X".to_vec();
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes
        };
        // The function, what it is given, and the call of both, dropped again and again.
        let mut start = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00(".to_vec();
        start.extend([b"(".to_vec(), text("storage")].concat());
        start.extend(b"ctorch\nFloatStorage\n");
        start.extend([text("0"), text("cpu")].concat());
        start.extend(b"K\x06tq\x01QK\x00K\x02K\x03\x86K\x03K\x01\x86\x89)tq\x02");
        let calls = |count: usize| [&start[..], &b"h\x00h\x02R0".repeat(count), b"."].concat();
        let storages = |count: usize| [&start[..], &b"h\x01Q0".repeat(count), b"."].concat();
        // What is left is no dict, but so many are read.
        for many in [calls(MOST_TENSORS), storages(MOST_TENSORS - 1)] {
            let fine = read(&many).unwrap_err().to_string();
            assert!(fine.contains("no state dict"), "{fine}");
        }
        for many in [calls(MOST_TENSORS + 1), storages(MOST_TENSORS)] {
            let error = read(&many).unwrap_err().to_string();
            assert!(error.contains("more than 65536 tensors"), "{error}");
        }
        // One tensor under very many names.
        let mut named = [&start[..], b"h\x00h\x02Rq\x03}("].concat();
        for name in 0..=MOST_TENSORS {
            named.extend(text(&name.to_string()));
            named.extend(b"h\x03");
        }
        named.extend(b"u.");
        let error = read(&named).unwrap_err().to_string();
        assert!(error.contains("more than 65536 tensors"), "{error}");
    }

    #[test]
    fn a_state_dict_within_comes_before_tensors_beside_it() {
        // {"best": tensor, "state_dict": {"w": tensor}}
        let whole = state_dict();
        let tensor = {
            let begin = whole
                .windows(7)
                .position(|part| part == b"ctorch.")
                .unwrap();
            let end = whole
                .windows(4)
                .position(|part| part == b"Rq\x0ds")
                .unwrap();
            whole[begin..=end].to_vec()
        };
        // The backward hooks are taken from the memo.
        let mut bytes = b"\x80\x02ccollections\nOrderedDict\nq\x000}X\x04\x00\x00\x00best".to_vec();
        bytes.extend(&tensor);
        bytes.extend(b"sX\x0a\x00\x00\x00state_dict}X\x01\x00\x00\x00w");
        bytes.extend(&tensor);
        bytes.extend(b"ss.");
        let found = read(&bytes).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "w");
    }

    #[test]
    fn metadata_of_a_tensor_is_refused_unless_it_says_nothing() {
        let whole = state_dict();
        // After the backward hooks.
        let at = whole
            .windows(4)
            .position(|part| part == b"Rq\x0bt")
            .unwrap()
            + 3;
        let with = |metadata: &[u8]| read(&[&whole[..at], metadata, &whole[at..]].concat());
        assert_eq!(with(b"}").unwrap().len(), 1);
        assert_eq!(with(b"N").unwrap().len(), 1);
        let error = with(b"}X\x04\x00\x00\x00conj\x88s")
            .unwrap_err()
            .to_string();
        assert!(error.contains("metadata"), "{error}");
    }

    #[test]
    fn a_tensor_is_within_its_storage() {
        let storage = |count| Storage {
            key: "0".into(),
            element: Element::F32,
            count,
        };
        let tensor = |count, offset, shape: &[usize], strides: &[usize]| {
            Tensor::new(storage(count), offset, shape.to_vec(), strides.to_vec())
        };
        assert!(tensor(6, 0, &[2, 3], &[3, 1]).unwrap().is_contiguous());
        assert!(!tensor(6, 0, &[3, 2], &[1, 3]).unwrap().is_contiguous());
        assert_eq!(tensor(6, 1, &[2, 3], &[3, 1]), None);
        assert_eq!(tensor(6, 0, &[2], &[3, 1]), None);
        assert_eq!(tensor(6, 0, &[usize::MAX, 2], &[0, 1]), None);
        assert_eq!(tensor(6, 5, &[2], &[usize::MAX]), None);
        // More bytes than can be counted.
        assert_eq!(tensor(usize::MAX / 2, 0, &[1], &[1]), None);
        assert_eq!(tensor(6, usize::MAX / 2, &[0], &[1]), None);
        let huge = 1 << 40;
        assert!(tensor(6, 0, &[0, huge, huge], &[1, 1, 1]).is_some());
    }
}
