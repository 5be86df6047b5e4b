//! A machine for pickles, protocols 2 to 5, which calls nothing: of what a pickle names it knows what its [`Vocabulary`] knows,
//! as data; all else is refused by its name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use granule_io::words::{printable, shortened};
use granule_io::{MemoryError, budget};

use crate::DataError;

/// The memory of a value, of its places on the stack and in what holds it.
const MEMORY_OF_A_VALUE: u64 = 100;

/// The place of a value among all.
pub type Id = usize;

/// Why a [`Vocabulary`] makes nothing of what a pickle says.
#[derive(Debug)]
pub enum Refusal {
    /// A sentence without its point, for [`DataError::Format`].
    Reason(String),
    /// There is not enough memory.
    Memory(MemoryError),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

/// What pickles of one kind may name, and what comes of it.
pub trait Vocabulary {
    /// What is named.
    type Global: Clone;
    /// What is made by calls.
    type Object;

    /// The most values of a pickle.
    const MOST_VALUES: usize;

    /// What is said of a pickle with more: whose these are not, and what to do.
    const TOO_MANY: &str;

    /// The thing of that module and name; `None` is refused.
    fn global(module: &str, name: &str) -> Option<Self::Global>;

    /// What a call of it gives.
    ///
    /// # Errors
    /// Why nothing is made of it.
    fn call<'a>(
        &mut self,
        values: &Values<'a, Self>,
        called: &Self::Global,
        given: &[Id],
    ) -> Result<Value<'a, Self>, Refusal>;

    /// What stands elsewhere, by what the pickle calls it.
    ///
    /// # Errors
    /// Why nothing is made of it.
    fn elsewhere<'a>(
        &mut self,
        _values: &Values<'a, Self>,
        _name: Id,
    ) -> Result<Value<'a, Self>, Refusal> {
        Err(damaged("it refers to what is not in it").into())
    }

    /// The object with its state.
    ///
    /// # Errors
    /// Why nothing is made of it.
    fn state<'a>(
        &mut self,
        _values: &Values<'a, Self>,
        _object: &Self::Object,
        _state: Id,
    ) -> Result<Value<'a, Self>, Refusal> {
        Err(damaged("what has no state is given one").into())
    }
}

/// A value; what it holds stands beside it, so that nothing nests.
pub enum Value<'a, V: Vocabulary + ?Sized> {
    /// Of a kind that nothing is read for.
    Other,
    /// `None`.
    Nothing,
    /// A truth value.
    Bool(bool),
    /// A whole number within 64 bits.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes, among them the texts of Python 2.
    Bytes(Cow<'a, [u8]>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// Keys and values, in their order.
    Dict(Vec<(Id, Id)>),
    /// What is named.
    Global(V::Global),
    /// What a call made.
    Object(V::Object),
}

/// All values of a pickle by their places.
pub struct Values<'a, V: Vocabulary + ?Sized>(Vec<Value<'a, V>>);

impl<'a, V: Vocabulary + ?Sized> Values<'a, V> {
    /// The value at a place.
    pub fn get(&self, id: Id) -> Option<&Value<'a, V>> {
        self.0.get(id)
    }

    /// The keys and values of a dict; of what is none, nothing.
    pub fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Some(Value::Dict(pairs)) => pairs,
            _ => &[],
        }
    }

    /// The items of a tuple or a list.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Some(Value::Tuple(items) | Value::List(items)) => Some(items),
            _ => None,
        }
    }

    /// A text, also one of Python 2.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes.
    pub fn bytes(&self, id: Id) -> Option<&[u8]> {
        match self.get(id) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Some(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn count(&self, id: Id) -> Option<usize> {
        usize::try_from(self.int(id)?).ok()
    }

    /// The value under a key of a dict; of several the last.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let mut pairs = self.pairs(dict).iter().rev();
        pairs.find_map(|&(name, value)| (self.text(name) == Some(key)).then_some(value))
    }
}

/// What was unpickled.
pub struct Pickle<'a, V: Vocabulary> {
    /// All that it is made of.
    pub values: Values<'a, V>,
    /// The place of what it is.
    pub top: Id,
}

/// What is said of a damaged pickle.
pub fn damaged(what: &str) -> String {
    format!("its pickle is damaged: {what}; take another copy")
}

/// Runs a pickle; `path` is for messages.
///
/// # Errors
/// [`DataError::Code`] for what it names beside what `vocabulary` knows; [`DataError::Format`] where it is damaged.
pub fn unpickle<'a, V: Vocabulary>(
    bytes: &'a [u8],
    path: &Path,
    vocabulary: V,
) -> Result<Pickle<'a, V>, DataError> {
    let values = (bytes.len() as u64).min(V::MOST_VALUES as u64);
    budget::ask(path.display(), values * MEMORY_OF_A_VALUE)?;
    let mut machine = Machine {
        rest: bytes,
        path,
        vocabulary,
        values: Values(Vec::new()),
        stack: Vec::new(),
        pushed: 0,
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    Ok(Pickle {
        values: machine.values,
        top,
    })
}

struct Machine<'a, 'p, V: Vocabulary> {
    rest: &'a [u8],
    path: &'p Path,
    vocabulary: V,
    values: Values<'a, V>,
    stack: Vec<Id>,
    /// How often something was put on the stack: no list, dict or memo can hold more.
    pushed: usize,
    /// The heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

type Done<T> = Result<T, DataError>;

impl<'a, V: Vocabulary> Machine<'a, '_, V> {
    fn refused(&self, refusal: impl Into<Refusal>) -> DataError {
        match refusal.into() {
            Refusal::Reason(reason) => DataError::format(self.path, reason),
            Refusal::Memory(error) => error.into(),
        }
    }

    fn damaged(&self, what: &str) -> DataError {
        self.refused(damaged(what))
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
        self.text(line)
    }

    fn text(&self, bytes: &'a [u8]) -> Done<&'a str> {
        std::str::from_utf8(bytes).map_err(|_| self.damaged("a name is no text"))
    }

    fn push(&mut self, value: Value<'a, V>) -> Done<()> {
        self.stack(self.values.0.len())?;
        self.values.0.push(value);
        Ok(())
    }

    fn push_text(&mut self, bytes: usize) -> Done<()> {
        let bytes = self.counted(bytes)?;
        let text = self.text(bytes)?;
        self.push(Value::Text(text))
    }

    fn push_bytes(&mut self, bytes: usize) -> Done<()> {
        let bytes = self.counted(bytes)?;
        self.push(Value::Bytes(Cow::Borrowed(bytes)))
    }

    /// A little-endian number in two's complement, as long as it says.
    fn push_long(&mut self, bytes: usize) -> Done<()> {
        let digits = self.counted(bytes)?;
        let sign = digits.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut number = [if sign { 0xff } else { 0 }; 8];
        self.push(match number.get_mut(..digits.len()) {
            Some(low) => {
                low.copy_from_slice(digits);
                Value::Int(i64::from_le_bytes(number))
            }
            None => Value::Other,
        })
    }

    fn stack(&mut self, id: Id) -> Done<()> {
        self.check_count(self.pushed)?;
        self.pushed += 1;
        self.stack.push(id);
        Ok(())
    }

    /// Refuses one more than the most.
    fn check_count(&self, count: usize) -> Done<()> {
        if count < V::MOST_VALUES {
            return Ok(());
        }
        let (most, advice) = (V::MOST_VALUES, V::TOO_MANY);
        Err(self.refused(format!("its pickle has more than {most} values, {advice}")))
    }

    fn pop(&mut self) -> Done<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => Err(self.damaged("its stack is empty")),
        }
    }

    fn mark(&mut self) -> Done<()> {
        self.check_count(self.marks.len())?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// What stands above the last mark, which goes with it.
    fn pop_mark(&mut self) -> Done<Vec<Id>> {
        let mark = self.marks.pop();
        match mark {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.damaged("a mark is missing")),
        }
    }

    /// The place of the value that stands topmost.
    fn top(&self) -> Done<Id> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| self.damaged("its stack is empty"))
    }

    fn remember(&mut self, key: u64) -> Done<()> {
        self.check_count(self.memo.len())?;
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Done<()> {
        let id = self.memo.get(&key).copied();
        let id = id.ok_or_else(|| self.damaged("it recalls what it has not made"))?;
        self.stack(id)
    }

    fn global(&mut self, module: &str, name: &str) -> Done<()> {
        match V::global(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(DataError::Code {
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
                b'(' => self.mark()?,
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack(top)?;
                }
                b'N' => self.push(Value::Nothing)?,
                0x88 | 0x89 => self.push(Value::Bool(code == 0x88))?,
                // A number that is not whole.
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
                0x8a => self.push_long(1)?,
                0x8b => self.push_long(4)?,
                0x8c => self.push_text(1)?,
                b'X' => self.push_text(4)?,
                0x8d => self.push_text(8)?,
                // Bytes, and texts of Python 2.
                b'C' | b'U' => self.push_bytes(1)?,
                b'B' | b'T' => self.push_bytes(4)?,
                0x8e | 0x96 => self.push_bytes(8)?,
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
                        Some(Value::Text(text)) => Some(*text),
                        _ => None,
                    });
                    let (Some(module), Some(name)) = (module, name) else {
                        return Err(self.damaged("a name is no text"));
                    };
                    self.global(module, name)?;
                }
                b'Q' => {
                    let name = self.pop()?;
                    let found = self.vocabulary.elsewhere(&self.values, name);
                    let found = found.map_err(|reason| self.refused(reason))?;
                    self.push(found)?;
                }
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                other => {
                    return Err(self.damaged(&format!(
                        "the instruction 0x{other:02x} is none of those that data are saved by"
                    )));
                }
            }
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Done<()> {
        let top = self.top()?;
        if let Some(Value::List(list)) = self.values.0.get_mut(top) {
            list.extend(items);
            return Ok(());
        }
        Err(self.damaged("what is no list is added to"))
    }

    fn set(&mut self, items: &[Id]) -> Done<()> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if let (Some(Value::Dict(dict)), []) = (self.values.0.get_mut(top), rest) {
            dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            return Ok(());
        }
        Err(self.damaged("what is no dict is added to"))
    }

    /// A call, of which a few are known by what they give.
    fn reduce(&mut self) -> Done<()> {
        let (given, called) = (self.pop()?, self.pop()?);
        let made = match (self.values.get(called), self.values.get(given)) {
            (Some(Value::Global(global)), Some(Value::Tuple(given))) => {
                self.vocabulary.call(&self.values, global, given)
            }
            _ => Err(damaged("what cannot be called is called").into()),
        };
        self.push(made.map_err(|reason| self.refused(reason))?)
    }

    /// Gives what stands below its state; that of a dict is none of its items, and left out.
    fn build(&mut self) -> Done<()> {
        let state = self.pop()?;
        let top = self.top()?;
        let made = match self.values.get(top) {
            Some(Value::Dict(_)) => return Ok(()),
            Some(Value::Object(object)) => self.vocabulary.state(&self.values, object, state),
            _ => Err(damaged("what has no state is given one").into()),
        };
        let made = made.map_err(|reason| self.refused(reason))?;
        if let Some(object) = self.values.0.get_mut(top) {
            *object = made;
        }
        Ok(())
    }
}
