//! Pickles of tensors: a machine for the instructions that `torch.save` writes, which calls nothing. Of what a pickle may name
//! it knows the few things that state dicts are made of; all else is refused by its name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use granule_io::budget;
use granule_io::words::{printable, shortened};

use crate::InterchangeError;
use crate::weights::{Element, elements};

/// The most bytes of a pickle: names, shapes and places of tensors, not their elements.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// The most values of a pickle; a tensor of a state dict takes about twenty.
const MOST_VALUES: usize = 1 << 22;

/// The most tensors of a pickle, and the most names of tensors in a state dict.
const MOST_TENSORS: usize = 1 << 16;

/// The memory of a value, of its places on the stack and in what holds it, for every byte of a pickle.
const MEMORY_OF_A_BYTE: u64 = 100;

/// The most letters of the name of a member that holds elements.
const MOST_LETTERS: usize = 255;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 32;

/// The place of a value among all.
type Id = usize;

/// What was unpickled.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    top: Id,
}

/// A value; what it holds stands beside it, so that nothing nests.
#[derive(Debug)]
enum Value {
    /// Of a kind that no state dict is read for.
    Other,
    Nothing,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
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

impl Global {
    fn of(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", storage) => Some(Self::Storage(match storage.strip_suffix("Storage")? {
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

impl Pickle {
    /// The tensors of the state dict by their names; it may stand within another dict, beside tensors that are none of its.
    pub(super) fn tensors(self, path: &Path) -> Result<Vec<(String, Tensor)>, InterchangeError> {
        let within = WITHIN.iter().filter_map(|key| self.entry(key));
        let mut dicts = within.chain([self.top]).map(|id| self.of(id));
        let found = dicts.find(|found| !found.is_empty()).ok_or_else(|| {
            let reason = "it holds no state dict, tensors by name; write one by torch.save(model.state_dict(), FILE)";
            InterchangeError::format(path, reason)
        })?;
        if found.len() > MOST_TENSORS {
            return Err(too_many_tensors(path));
        }
        let owned = found.into_iter();
        let owned = owned.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
        Ok(owned.collect())
    }

    fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.values.get(id) {
            Some(Value::Dict(pairs)) => pairs,
            _ => &[],
        }
    }

    fn text(&self, id: Id) -> Option<&str> {
        match self.values.get(id) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn entry(&self, key: &str) -> Option<Id> {
        let mut pairs = self.pairs(self.top).iter();
        pairs.find_map(|&(name, value)| (self.text(name) == Some(key)).then_some(value))
    }

    /// The tensors of a dict; of those of one name the last.
    fn of(&self, dict: Id) -> Vec<(&str, &Tensor)> {
        let pairs = self.pairs(dict).iter();
        let named = pairs.filter_map(|&(name, value)| Some((self.text(name)?, value)));
        let named: BTreeMap<&str, Id> = named.collect();
        let tensors = named
            .into_iter()
            .filter_map(|(name, value)| match self.values.get(value) {
                Some(Value::Tensor(tensor)) => Some((name, &**tensor)),
                _ => None,
            });
        tensors.collect()
    }
}

fn too_many_tensors(path: &Path) -> InterchangeError {
    let reason = format!(
        "it has more than {MOST_TENSORS} tensors, which no state dict has; save the weights alone, by \
         torch.save(model.state_dict(), FILE)"
    );
    InterchangeError::format(path, reason)
}

/// Runs a pickle.
///
/// # Errors
///
/// [`InterchangeError::Code`] for what it names beside tensors; [`InterchangeError::Format`] where it is damaged.
pub(super) fn unpickle(bytes: &[u8], path: &Path) -> Result<Pickle, InterchangeError> {
    let values = (bytes.len() as u64).min(MOST_VALUES as u64);
    budget::ask(path.display(), values * MEMORY_OF_A_BYTE)?;
    let mut machine = Machine {
        rest: bytes,
        path,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: 0,
        tensors: 0,
    };
    let top = machine.run()?;
    Ok(Pickle {
        values: machine.values,
        top,
    })
}

struct Machine<'a> {
    rest: &'a [u8],
    path: &'a Path,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// How many were made, and kept.
    storages: usize,
    tensors: usize,
}

type Done<T> = Result<T, InterchangeError>;

impl<'a> Machine<'a> {
    fn damaged(&self, what: &str) -> InterchangeError {
        let reason = format!("its pickle is damaged: {what}; take another copy");
        InterchangeError::format(self.path, reason)
    }

    fn take(&mut self, count: usize) -> Done<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.damaged("it is cut off")),
        }
    }

    /// A little-endian number of so many bytes, eight at most.
    fn number(&mut self, bytes: usize) -> Done<u64> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn counted(&mut self, bytes: usize) -> Done<&'a [u8]> {
        let count = self.number(bytes)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// A text up to the end of the line.
    fn line(&mut self) -> Done<&'a str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| self.damaged("it is cut off"))?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| self.damaged("a name is no text"))
    }

    fn text(&mut self, bytes: usize) -> Done<Value> {
        let taken = self.counted(bytes)?;
        let text = std::str::from_utf8(taken).map_err(|_| self.damaged("a name is no text"))?;
        Ok(Value::Text(text.to_owned()))
    }

    fn push(&mut self, value: Value) -> Done<()> {
        self.check_count(self.values.len())?;
        match value {
            Value::Storage(_) => self.storages += 1,
            Value::Tensor(_) => self.tensors += 1,
            _ => {}
        }
        if self.storages.max(self.tensors) > MOST_TENSORS {
            return Err(too_many_tensors(self.path));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// Refuses one more than the most.
    fn check_count(&self, count: usize) -> Done<()> {
        if count < MOST_VALUES {
            return Ok(());
        }
        let reason = format!(
            "its pickle has more than {MOST_VALUES} values, which no state dict has; save the weights alone, by \
             torch.save(model.state_dict(), FILE)"
        );
        Err(InterchangeError::format(self.path, reason))
    }

    fn pop(&mut self) -> Done<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => Err(self.damaged("its stack is empty")),
        }
    }

    /// What stands above the last mark, which goes with it.
    fn pop_mark(&mut self) -> Done<Vec<Id>> {
        let mark = self.marks.pop();
        match mark {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.damaged("a mark is missing")),
        }
    }

    fn top(&mut self) -> Done<&mut Value> {
        let top = self.stack.last().copied();
        match top.and_then(|id| self.values.get_mut(id)) {
            Some(value) => Ok(value),
            None => Err(InterchangeError::format(
                self.path,
                "its pickle is damaged: its stack is empty; take another copy",
            )),
        }
    }

    fn remember(&mut self, key: u64) -> Done<()> {
        self.check_count(self.memo.len())?;
        let top = self.stack.last().copied();
        let top = top.ok_or_else(|| self.damaged("its stack is empty"))?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Done<()> {
        let id = self.memo.get(&key).copied();
        let id = id.ok_or_else(|| self.damaged("it recalls what it has not made"))?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Done<()> {
        match Global::of(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(InterchangeError::Code {
                path: self.path.to_owned(),
                global: shortened(&printable(&format!("{module}.{name}"))),
            }),
        }
    }

    fn run(&mut self) -> Done<Id> {
        loop {
            let [code] = *self.take(1)? else {
                return Err(self.damaged("it is cut off"));
            };
            match code {
                b'.' => return self.pop(),
                // What says the version, and how far a frame reaches.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.pop()?;
                    self.stack.extend([top, top]);
                }
                // None, then True, False and numbers that are not whole.
                b'N' => self.push(Value::Nothing)?,
                0x88 | 0x89 => self.push(Value::Other)?,
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Other)?;
                }
                b'K' => {
                    let n = self.number(1)?;
                    self.push(Value::Int(n as i64))?;
                }
                b'M' => {
                    let n = self.number(2)?;
                    self.push(Value::Int(n as i64))?;
                }
                b'J' => {
                    let n = self.number(4)? as u32;
                    self.push(Value::Int(i64::from(n.cast_signed())))?;
                }
                0x8a => {
                    let digits = self.counted(1)?;
                    let sign = digits.last().is_some_and(|byte| byte & 0x80 != 0);
                    let mut bytes = [if sign { 0xff } else { 0 }; 8];
                    self.push(match bytes.get_mut(..digits.len()) {
                        Some(low) => {
                            low.copy_from_slice(digits);
                            Value::Int(i64::from_le_bytes(bytes))
                        }
                        None => Value::Other,
                    })?;
                }
                b'X' => {
                    let text = self.text(4)?;
                    self.push(text)?;
                }
                0x8c => {
                    let text = self.text(1)?;
                    self.push(text)?;
                }
                // Bytes and texts of Python 2.
                b'B' | b'T' => {
                    self.counted(4)?;
                    self.push(Value::Other)?;
                }
                b'C' | b'U' => {
                    self.counted(1)?;
                    self.push(Value::Other)?;
                }
                b')' => self.push(Value::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let mut items = Vec::new();
                    for _ in 0..code - 0x84 {
                        items.push(self.pop()?);
                    }
                    items.reverse();
                    self.push(Value::Tuple(items))?;
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                b']' => self.push(Value::List(Vec::new()))?,
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Value::List(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Value::Dict(Vec::new()))?;
                    self.set(&items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set(&items)?;
                }
                b'q' => {
                    let key = self.number(1)?;
                    self.remember(key)?;
                }
                b'r' => {
                    let key = self.number(4)?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'h' => {
                    let key = self.number(1)?;
                    self.recall(key)?;
                }
                b'j' => {
                    let key = self.number(4)?;
                    self.recall(key)?;
                }
                b'c' => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.global(module, name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let [module, name] = [module, name].map(|id| match self.values.get(id) {
                        Some(Value::Text(text)) => Some(shortened(text)),
                        _ => None,
                    });
                    let (Some(module), Some(name)) = (module, name) else {
                        return Err(self.damaged("a name is no text"));
                    };
                    self.global(&module, &name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id);
                    let storage =
                        storage.ok_or_else(|| self.damaged("a tensor has no place in the file"))?;
                    self.push(Value::Storage(Box::new(storage)))?;
                }
                b'R' => self.reduce()?,
                // The state of what was made: of a dict, versions of modules.
                b'b' => {
                    self.pop()?;
                    if !matches!(self.top()?, Value::Dict(_)) {
                        return Err(self.damaged("what has no state is given one"));
                    }
                }
                other => {
                    return Err(self.damaged(&format!(
                        "the instruction 0x{other:02x} is none of those that tensors are saved by"
                    )));
                }
            }
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Done<()> {
        if let Value::List(list) = self.top()? {
            list.extend(items);
            return Ok(());
        }
        Err(self.damaged("what is no list is added to"))
    }

    fn set(&mut self, items: &[Id]) -> Done<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        if let (Value::Dict(dict), []) = (self.top()?, rest) {
            dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            return Ok(());
        }
        Err(self.damaged("what is no dict is added to"))
    }

    /// A call, of which a few are known by what they give.
    fn reduce(&mut self) -> Done<()> {
        let (given, called) = (self.pop()?, self.pop()?);
        let made = match (self.values.get(called), self.values.get(given)) {
            (Some(Value::Global(Global::RebuildTensor)), Some(Value::Tuple(given)))
                if self.has_metadata(given) =>
            {
                let reason = "a tensor of it has metadata, as one that is conjugated or negated when it is read; save \
                              tensor.resolve_conj().resolve_neg() in its place";
                return Err(InterchangeError::format(self.path, reason));
            }
            (Some(Value::Global(global)), Some(Value::Tuple(given))) => self.made(global, given),
            _ => None,
        };
        let made = made.ok_or_else(|| self.damaged("a tensor's description makes no sense"))?;
        self.push(made)?;
        Ok(())
    }

    /// Whether a tensor's description has the seventh part, and that says something.
    fn has_metadata(&self, given: &[Id]) -> bool {
        let metadata = given.get(6).map(|id| self.values.get(*id));
        metadata.is_some_and(|value| match value {
            Some(Value::Nothing) => false,
            Some(Value::Dict(pairs)) => !pairs.is_empty(),
            _ => true,
        })
    }

    fn made(&self, global: &Global, given: &[Id]) -> Option<Value> {
        let value = |id: &Id| self.values.get(*id);
        match (global, given) {
            (Global::OrderedDict, []) => Some(Value::Dict(Vec::new())),
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = value(storage)? else {
                    return None;
                };
                let offset = self.whole(*offset)?;
                let (shape, strides) = (self.extents(*shape)?, self.extents(*strides)?);
                let storage = Storage::clone(storage);
                let tensor = Tensor::new(storage, offset, shape, strides)?;
                Some(Value::Tensor(Box::new(tensor)))
            }
            (Global::RebuildParameter, [tensor, ..]) => match value(tensor)? {
                Value::Tensor(tensor) => Some(Value::Tensor(tensor.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    /// What a tuple `("storage", type, key, device, count)` says.
    fn storage(&self, id: Id) -> Option<Storage> {
        let Some(Value::Tuple(items)) = self.values.get(id) else {
            return None;
        };
        let [kind, element, key, _, count] = items[..] else {
            return None;
        };
        match [kind, element, key].map(|id| self.values.get(id)) {
            [
                Some(Value::Text(kind)),
                Some(Value::Global(Global::Storage(element))),
                Some(Value::Text(key)),
            ] if kind == "storage" && key.len() <= MOST_LETTERS => Some(Storage {
                key: key.clone(),
                element: element.clone(),
                count: self.whole(count)?,
            }),
            _ => None,
        }
    }

    fn whole(&self, id: Id) -> Option<usize> {
        match self.values.get(id) {
            Some(Value::Int(n)) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    fn extents(&self, id: Id) -> Option<Vec<usize>> {
        match self.values.get(id) {
            Some(Value::Tuple(items)) if items.len() <= MOST_DIMENSIONS => {
                items.iter().map(|id| self.whole(*id)).collect()
            }
            _ => None,
        }
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
        bytes.resize(MOST_VALUES + 10, b')');
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
