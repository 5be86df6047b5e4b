//! Making a script: constants are computed at once, what is there twice is made once, what nobody reads is left out, and
//! buffers are used again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::cpu::{Number, perform};
use super::fork::{Fork, Known};
use super::instruction::{Binary, Elements, Instruction, Matrix, Piece, Sparse, Unary, Work};
use super::{Lanes, Part, Slot, Steps};
use crate::{Connections, Tree};

/// The most of its elements that a matrix may have other than 0 to be kept as a list.
const SPARSE: f64 = 0.3;

/// A tensor of the step: its shape, and the buffer of its elements, or of the one that stands for all of them.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) slot: Slot,
}

impl Value {
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An instruction by which another one is known to be the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Unary(Unary, Slot, usize),
    Binary(Binary, Slot, Slot),
    Choose(Slot, Slot, Slot),
    Gather(Vec<Piece>),
    Product(Slot, Matrix, usize),
    /// A list of connections is known by where it is kept.
    Sparse(Slot, Matrix, *const u32),
    /// As is a tree.
    TreeSolve([Slot; 3], *const usize),
    Sum(Slot, usize, usize, u64),
}

pub(super) struct Builder<T> {
    code: Vec<Instruction>,
    slots: Vec<Vec<T>>,
    /// Of each buffer whether it holds the same in all steps.
    constant: Vec<bool>,
    known: HashMap<Key, Slot>,
    /// Constants by a hash of their bits.
    constants: HashMap<u64, Vec<Slot>>,
    /// Of constant matrices that were looked at.
    sparse: HashMap<(Slot, usize), Option<Sparse>>,
}

impl<T: Number> Builder<T> {
    pub(super) fn new() -> Self {
        Self {
            code: Vec::new(),
            slots: Vec::new(),
            constant: Vec::new(),
            known: HashMap::new(),
            constants: HashMap::new(),
            sparse: HashMap::new(),
        }
    }

    fn slot(&mut self, values: Vec<T>, constant: bool) -> Slot {
        self.slots.push(values);
        self.constant.push(constant);
        self.slots.len() - 1
    }

    /// What comes from outside at every step.
    pub(super) fn source(&mut self, shape: &[usize]) -> Value {
        let len = shape.iter().product();
        Value {
            shape: shape.to_vec(),
            slot: self.slot(vec![T::ZERO; len], false),
        }
    }

    pub(super) fn number(&mut self, value: f64, shape: &[usize]) -> Value {
        self.known_constant(vec![T::of(value)], shape)
    }

    pub(super) fn constant(&mut self, values: Vec<f64>, shape: &[usize]) -> Value {
        match values.as_slice() {
            [first, rest @ ..] if rest.iter().all(|x| x.to_bits() == first.to_bits()) => {
                self.number(*first, shape)
            }
            _ => self.known_constant(values.into_iter().map(T::of).collect(), shape),
        }
    }

    /// A constant in the buffer of an equal one, where there is one.
    fn known_constant(&mut self, values: Vec<T>, shape: &[usize]) -> Value {
        let bits = |x: &T| x.to_f64().to_bits();
        let mut hasher = DefaultHasher::new();
        values.iter().for_each(|x| bits(x).hash(&mut hasher));
        let hash = hasher.finish();
        let alike = self.constants.get(&hash).into_iter().flatten();
        let known = alike.copied().find(|slot| {
            self.slots[*slot]
                .iter()
                .map(bits)
                .eq(values.iter().map(bits))
        });
        let slot = known.unwrap_or_else(|| {
            let slot = self.slot(values, true);
            self.constants.entry(hash).or_default().push(slot);
            slot
        });
        Value {
            shape: shape.to_vec(),
            slot,
        }
    }

    /// A tensor without elements.
    pub(super) fn nothing(&mut self, shape: &[usize]) -> Value {
        self.known_constant(Vec::new(), shape)
    }

    /// The elements of a constant.
    pub(super) fn values(&self, value: &Value) -> Option<Vec<f64>> {
        let own = self.constant[value.slot].then(|| &self.slots[value.slot])?;
        Some(match own.as_slice() {
            [one] => vec![one.to_f64(); value.len()],
            own => own.iter().map(|x| x.to_f64()).collect(),
        })
    }

    /// Whether one element stands for all.
    pub(super) fn is_single(&self, value: &Value) -> bool {
        self.slots[value.slot].len() == 1
    }

    /// The same buffer in another shape of the same length.
    pub(super) fn reshaped(&self, value: &Value, shape: &[usize]) -> Value {
        Value {
            shape: shape.to_vec(),
            slot: value.slot,
        }
    }

    /// What gives the same bits with fewer changes of sign: x + (−y) is x − y, x − (−y) is x + y and −(x·c) is x·(−c).
    fn with_few_signs(&mut self, work: Work) -> Work {
        // Instructions are in the order of what they make.
        let made = |slot: Slot| {
            let at = self.code.binary_search_by_key(&slot, |made| made.to).ok()?;
            Some(&self.code[at].work)
        };
        let negated = |slot: Slot| match made(slot) {
            Some(Work::Unary(Unary::Negate, x)) => Some(*x),
            _ => None,
        };
        match work {
            Work::Binary(Binary::Add, x, y) => match (negated(x), negated(y)) {
                (_, Some(y)) => Work::Binary(Binary::Subtract, x, y),
                (Some(x), None) => Work::Binary(Binary::Subtract, y, x),
                (None, None) => work,
            },
            Work::Binary(Binary::Subtract, x, y) => match negated(y) {
                Some(y) => Work::Binary(Binary::Add, x, y),
                None => work,
            },
            Work::Unary(Unary::Negate, product) => match made(product) {
                Some(Work::Binary(Binary::Multiply, x, factor)) if self.constant[*factor] => {
                    let (x, factor) = (*x, &self.slots[*factor]);
                    let opposite = factor.iter().map(|factor| -*factor).collect();
                    Work::Binary(Binary::Multiply, x, self.known_constant(opposite, &[]).slot)
                }
                _ => work,
            },
            _ => work,
        }
    }

    fn push(&mut self, work: Work, len: usize, shape: &[usize]) -> Value {
        let mut work = self.with_few_signs(work);
        let key = match &work {
            Work::Unary(f, x) => Key::Unary(*f, *x, len),
            Work::Binary(f, x, y) => Key::Binary(*f, *x, *y),
            Work::Choose(mask, yes, no) => Key::Choose(*mask, *yes, *no),
            Work::Gather(pieces) => Key::Gather(pieces.clone()),
            Work::Product {
                left,
                right,
                columns,
                ..
            } => Key::Product(*left, *right, *columns),
            Work::SparseProduct { left, right } => {
                Key::Sparse(*left, right.values, right.column.as_ptr())
            }
            Work::TreeSolve {
                diagonal,
                edges,
                rhs,
                tree,
            } => Key::TreeSolve([*diagonal, *edges, *rhs], tree.place()),
            Work::Sum {
                of,
                middle,
                inner,
                divisor,
            } => Key::Sum(*of, *middle, *inner, divisor.to_bits()),
        };
        let value = |slot: Slot| Value {
            shape: shape.to_vec(),
            slot,
        };
        if let Some(known) = self.known.get(&key) {
            return value(*known);
        }
        let mut constant = true;
        work.reads(|slot| constant &= self.constant[*slot]);
        let to = self.slot(vec![T::ZERO; len], constant);
        let instruction = Instruction { work, to };
        if constant {
            perform(&instruction, &mut self.slots, &[]);
        } else {
            self.code.push(instruction);
        }
        self.known.insert(key, to);
        value(to)
    }

    pub(super) fn unary(&mut self, f: Unary, x: &Value) -> Value {
        let len = self.slots[x.slot].len();
        self.push(Work::Unary(f, x.slot), len, &x.shape)
    }

    /// The elements of `x` as operands of a result of that shape; `None` where they do not fit.
    fn operand(&mut self, x: &Value, shape: &[usize]) -> Option<Slot> {
        if self.slots[x.slot].len() == 1 || x.shape == shape {
            return Some(x.slot);
        }
        self.expanded(x, shape).map(|x| x.slot)
    }

    /// `x` in a shape that it is broadcast to.
    pub(super) fn expanded(&mut self, x: &Value, shape: &[usize]) -> Option<Value> {
        if self.slots[x.slot].len() == 1 || x.shape == shape {
            return Some(self.reshaped(x, shape));
        }
        let missing = shape.len().checked_sub(x.shape.len())?;
        let padded = std::iter::repeat_n(1, missing).chain(x.shape.iter().copied());
        let own: Vec<usize> = padded.collect();
        let fits = own
            .iter()
            .zip(shape)
            .all(|(own, whole)| *own == *whole || *own == 1);
        if !fits {
            return None;
        }
        let strides = strides(&own);
        let steps = own
            .iter()
            .zip(&strides)
            .map(|(own, stride)| if *own == 1 { 0 } else { *stride });
        let steps: Vec<usize> = steps.collect();
        Some(self.picked(x, shape, &steps, 0))
    }

    /// The elements of `x` at the place that each index of `shape` leads to by `steps`, from `first` on.
    pub(super) fn picked(
        &mut self,
        x: &Value,
        shape: &[usize],
        steps: &[usize],
        first: usize,
    ) -> Value {
        if self.slots[x.slot].len() == 1 {
            return self.reshaped(x, shape);
        }
        let len: usize = shape.iter().product();
        let mut index = vec![0; shape.len()];
        let mut at = first;
        let mut list = Vec::with_capacity(len);
        for _ in 0..len {
            list.push(at as u32);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += steps[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= index[axis] * steps[axis];
                index[axis] = 0;
            }
        }
        self.listed(x, list, shape)
    }

    /// The elements of `x` at these places.
    pub(super) fn listed(&mut self, x: &Value, list: Vec<u32>, shape: &[usize]) -> Value {
        if self.slots[x.slot].len() == 1 {
            return self.reshaped(x, shape);
        }
        let len = list.len();
        let first = list.first().copied().unwrap_or_default();
        let in_a_row = list
            .iter()
            .zip(first..)
            .all(|(at, expected)| *at == expected);
        let elements = match in_a_row {
            true if len == self.slots[x.slot].len() => return self.reshaped(x, shape),
            true => Elements::Range(first as usize..first as usize + len),
            false => Elements::Listed(list),
        };
        self.gather(
            vec![Piece {
                from: x.slot,
                elements,
            }],
            shape,
        )
    }

    pub(super) fn gather(&mut self, pieces: Vec<Piece>, shape: &[usize]) -> Value {
        let len = pieces.iter().map(|piece| piece.elements.len()).sum();
        self.push(Work::Gather(pieces), len, shape)
    }

    /// All elements of `x` in a buffer of its own length.
    pub(super) fn whole(&mut self, x: &Value) -> Value {
        let len = x.len();
        if self.slots[x.slot].len() == len {
            return x.clone();
        }
        self.push(Work::Unary(Unary::Copy, x.slot), len, &x.shape)
    }

    pub(super) fn binary(
        &mut self,
        f: Binary,
        x: &Value,
        y: &Value,
        shape: &[usize],
    ) -> Option<Value> {
        let (x, y) = (self.operand(x, shape)?, self.operand(y, shape)?);
        let len = self.widest(&[x, y]);
        Some(self.push(Work::Binary(f, x, y), len, shape))
    }

    pub(super) fn choose(
        &mut self,
        mask: &Value,
        yes: &Value,
        no: &Value,
        shape: &[usize],
    ) -> Option<Value> {
        let mask = self.operand(mask, shape)?;
        let (yes, no) = (self.operand(yes, shape)?, self.operand(no, shape)?);
        let len = self.widest(&[mask, yes, no]);
        Some(self.push(Work::Choose(mask, yes, no), len, shape))
    }

    fn widest(&self, slots: &[Slot]) -> usize {
        let lengths = slots.iter().map(|slot| self.slots[*slot].len());
        lengths.max().unwrap_or_default()
    }

    /// Sums over an axis, divided by `divisor`; `None` of nothing.
    pub(super) fn sum(
        &mut self,
        x: &Value,
        axis: usize,
        divisor: f64,
        shape: &[usize],
    ) -> Option<Value> {
        let x = self.whole(x);
        let middle = *x.shape.get(axis)?;
        let inner: usize = x.shape[axis + 1..].iter().product();
        if middle == 0 || inner == 0 {
            return None;
        }
        let work = Work::Sum {
            of: x.slot,
            middle,
            inner,
            divisor,
        };
        Some(self.push(work, shape.iter().product(), shape))
    }

    /// `[rows, inner] · [inner, columns]`
    pub(super) fn product(
        &mut self,
        left: &Value,
        right: &Value,
        shape: &[usize],
    ) -> Option<Value> {
        let [inner, columns] = right.shape[..].try_into().ok()?;
        if left.shape.last() != Some(&inner) || inner == 0 || columns == 0 {
            return None;
        }
        let (left, right) = (self.whole(left), self.whole(right));
        let work = match self.sparse(right.slot, columns) {
            Some(sparse) => Work::SparseProduct {
                left: left.slot,
                right: sparse,
            },
            None => Work::Product {
                left: left.slot,
                right: Matrix::Buffer(right.slot),
                inner,
                columns,
            },
        };
        Some(self.push(work, shape.iter().product(), shape))
    }

    /// The solutions of one system on a tree for each row of `rhs`.
    pub(super) fn tree_solve(
        &mut self,
        diagonal: &Value,
        edges: &Value,
        rhs: &Value,
        tree: &Tree,
    ) -> Value {
        let [diagonal, edges, rhs] = [diagonal, edges, rhs].map(|x| self.whole(x));
        let work = Work::TreeSolve {
            diagonal: diagonal.slot,
            edges: edges.slot,
            rhs: rhs.slot,
            tree: tree.clone(),
        };
        self.push(work, rhs.len(), &rhs.shape)
    }

    /// `x` `[rows, inner]` times the matrix of these connections with the weights `values`.
    pub(super) fn sparse_product(
        &mut self,
        x: &Value,
        values: &Value,
        connections: &Connections,
    ) -> Option<Value> {
        if connections.rows() == 0 || connections.columns() == 0 {
            return None;
        }
        let (left, values) = (self.whole(x), self.whole(values));
        let rows = x.len() / connections.rows();
        let shape = [rows, connections.columns()];
        let work = Work::SparseProduct {
            left: left.slot,
            right: Sparse {
                columns: connections.columns(),
                ends: Arc::clone(connections.ends()),
                column: Arc::clone(connections.targets()),
                values: Matrix::Buffer(values.slot),
            },
        };
        Some(self.push(work, shape.iter().product(), &shape))
    }

    /// What is not 0 of a constant matrix, where that is little.
    fn sparse(&mut self, matrix: Slot, columns: usize) -> Option<Sparse> {
        if let Some(known) = self.sparse.get(&(matrix, columns)) {
            return known.clone();
        }
        let values = &self.slots[matrix];
        let filled = values.iter().filter(|x| **x != T::ZERO).count();
        let few = self.constant[matrix] && (filled as f64) < SPARSE * values.len() as f64;
        let mut kept = Vec::new();
        let mut column = Vec::new();
        let mut ends = Vec::new();
        if few {
            for row in values.chunks_exact(columns) {
                let own = row.iter().enumerate().filter(|(_, x)| **x != T::ZERO);
                for (at, x) in own {
                    column.push(at as u32);
                    kept.push(*x);
                }
                ends.push(kept.len());
            }
        }
        let found = few.then(|| Sparse {
            columns,
            ends: ends.into(),
            column: column.into(),
            values: Matrix::Buffer(self.slot(kept, true)),
        });
        self.sparse.insert((matrix, columns), found.clone());
        found
    }

    /// The script of a step from `states` to `next`; `None` where a variable changes its length.
    pub(super) fn finish(
        mut self,
        states: &[Value],
        given: &[Value],
        next: &[Value],
        seen: &[Value],
    ) -> Option<Steps<T>> {
        let fits =
            states.len() == next.len() && states.iter().zip(next).all(|(x, y)| x.len() == y.len());
        if !fits {
            return None;
        }
        let states: Vec<Slot> = states.iter().map(|x| x.slot).collect();
        let given: Vec<Slot> = given.iter().map(|x| x.slot).collect();
        let mut taken = Vec::new();
        for x in next {
            let x = self.whole(x);
            // A buffer can take the place of one variable only, and that of a constant of none.
            let own = self.constant[x.slot] || given.contains(&x.slot) || taken.contains(&x.slot);
            taken.push(if own {
                let to = self.slot(vec![T::ZERO; x.len()], false);
                let work = Work::Unary(Unary::Copy, x.slot);
                self.code.push(Instruction { work, to });
                to
            } else {
                x.slot
            });
        }
        let seen: Vec<Slot> = seen.iter().map(|x| self.whole(x).slot).collect();
        self.prune(taken.iter().chain(&seen));
        let matrices = self.matrices();
        let fixed: Vec<Slot> = states
            .iter()
            .chain(&given)
            .chain(&taken)
            .chain(&seen)
            .copied()
            .collect();
        let place = self.places(&fixed);
        let moved = |slots: &[Slot]| slots.iter().map(|slot| place[*slot]).collect::<Vec<_>>();
        let (states, given, taken, seen) =
            (moved(&states), moved(&given), moved(&taken), moved(&seen));
        let swaps = self.swaps(&states, &taken);
        let lanes = self.lanes(&states, &given, &seen);
        let parts = self.parts(&states, &given, &seen, &swaps);
        Some(Steps {
            lens: self.slots.iter().map(Vec::len).collect(),
            code: self.code,
            matrices,
            slots: self.slots,
            parts,
            states,
            given,
            seen,
            swaps,
            lanes,
        })
    }

    /// Leaves out what nothing of `wanted` depends on.
    fn prune<'a>(&mut self, wanted: impl Iterator<Item = &'a Slot>) {
        let mut read = vec![false; self.slots.len()];
        wanted.for_each(|slot| read[*slot] = true);
        let mut code = std::mem::take(&mut self.code);
        code.reverse();
        code.retain_mut(|instruction| {
            let kept = read[instruction.to];
            if kept {
                instruction.work.reads(|slot| read[*slot] = true);
            }
            kept
        });
        code.reverse();
        self.code = code;
    }

    /// Takes the constant matrices out of the buffers, of which every run has its own.
    fn matrices(&mut self) -> Vec<Vec<T>> {
        let mut found: Vec<Slot> = Vec::new();
        for instruction in &mut self.code {
            if let Some(matrix) = instruction.work.matrix()
                && let Matrix::Buffer(slot) = *matrix
                && self.constant[slot]
            {
                let known = found.iter().position(|known| *known == slot);
                *matrix = Matrix::Constant(known.unwrap_or_else(|| {
                    found.push(slot);
                    found.len() - 1
                }));
            }
        }
        let mut read = vec![false; self.slots.len()];
        for instruction in &mut self.code {
            instruction.work.reads(|slot| read[*slot] = true);
        }
        let matrices = found.into_iter().map(|slot| {
            if read[slot] {
                self.slots[slot].clone()
            } else {
                std::mem::take(&mut self.slots[slot])
            }
        });
        matrices.collect()
    }

    /// Gives buffers that nothing reads any more to later results, and leaves out those that nothing uses. Returns the place
    /// of each of the old ones.
    fn places(&mut self, fixed: &[Slot]) -> Vec<Slot> {
        let old = std::mem::take(&mut self.slots);
        let mut last = vec![0; old.len()];
        let mut used = vec![false; old.len()];
        for (at, instruction) in self.code.iter_mut().enumerate() {
            instruction.work.reads(|slot| {
                last[*slot] = at;
                used[*slot] = true;
            });
        }
        let mut place = vec![usize::MAX; old.len()];
        let mut new: Vec<Vec<T>> = Vec::new();
        let mut lengths = Vec::with_capacity(old.len());
        let mut kept = vec![false; old.len()];
        fixed.iter().for_each(|slot| kept[*slot] = true);
        for (slot, values) in old.into_iter().enumerate() {
            lengths.push(values.len());
            if kept[slot] || (used[slot] && self.constant[slot]) {
                place[slot] = new.len();
                new.push(values);
            }
        }
        let mut free: HashMap<usize, Vec<Slot>> = HashMap::new();
        for (at, instruction) in self.code.iter_mut().enumerate() {
            let to = instruction.to;
            if place[to] == usize::MAX {
                let len = lengths[to];
                place[to] = free.get_mut(&len).and_then(Vec::pop).unwrap_or_else(|| {
                    new.push(vec![T::ZERO; len]);
                    new.len() - 1
                });
            }
            let mut ended = Vec::new();
            instruction.work.reads(|slot| {
                let dynamic = !self.constant[*slot] && !kept[*slot];
                if dynamic && last[*slot] == at && !ended.contains(slot) {
                    ended.push(*slot);
                }
            });
            for slot in ended {
                free.entry(lengths[slot]).or_default().push(place[slot]);
            }
        }
        for instruction in &mut self.code {
            instruction.to = place[instruction.to];
            instruction.work.reads(|slot| *slot = place[*slot]);
        }
        self.slots = new;
        place
    }

    /// What brings the buffers `taken` to the places of the states, and those that become free to the places of the taken.
    fn swaps(&self, states: &[Slot], taken: &[Slot]) -> Vec<(Slot, Slot)> {
        let mut from: HashMap<Slot, Slot> =
            states.iter().copied().zip(taken.iter().copied()).collect();
        let mut free: Vec<Slot> = states
            .iter()
            .copied()
            .filter(|slot| !taken.contains(slot))
            .collect();
        for slot in taken.iter().filter(|slot| !states.contains(slot)) {
            let len = self.slots[*slot].len();
            if let Some(at) = free.iter().position(|free| self.slots[*free].len() == len) {
                from.insert(*slot, free.swap_remove(at));
            }
        }
        let mut swaps = Vec::new();
        let mut order: Vec<Slot> = from.keys().copied().collect();
        order.sort_unstable();
        for first in order {
            let mut at = first;
            while let Some(next) = from.remove(&at) {
                if next == first {
                    break;
                }
                swaps.push((at, next));
                at = next;
            }
        }
        swaps
    }

    /// How the elements depend on each other.
    fn lanes(&self, states: &[Slot], given: &[Slot], seen: &[Slot]) -> Lanes {
        let lanes = self.slots.iter().map(Vec::len).max().unwrap_or_default();
        let fits = self.slots.iter().all(|x| x.len() == lanes || x.len() == 1);
        let some = states.iter().chain(given).chain(seen).next().is_some();
        if !fits || !some || lanes == 0 {
            return Lanes::Together;
        }
        let code = || self.code.iter().map(|instruction| &instruction.work);
        if code().all(Work::is_elementwise) {
            return Lanes::Apart(lanes);
        }
        let meets = |work: &Work| {
            let left = work.multiplied().map(|left| self.slots[left].len());
            match work {
                Work::Product { inner, columns, .. } => {
                    left == Some(lanes) && [*inner, *columns] == [lanes; 2]
                }
                Work::SparseProduct { right, .. } => {
                    let square = [right.ends.len(), right.columns] == [lanes; 2];
                    left == Some(lanes) && square && right.rises()
                }
                _ => false,
            }
        };
        let alone = lanes > 1 && code().all(|work| work.is_elementwise() || meets(work));
        if alone {
            Lanes::Meeting(lanes)
        } else {
            Lanes::Together
        }
    }

    /// Runs of instructions of element by element on buffers of one length; others by themselves.
    fn parts(
        &mut self,
        states: &[Slot],
        given: &[Slot],
        seen: &[Slot],
        swaps: &[(Slot, Slot)],
    ) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut before = None;
        for (at, instruction) in self.code.iter().enumerate() {
            let own = instruction.work.is_elementwise();
            let len = own.then(|| self.slots[instruction.to].len());
            match parts.last_mut() {
                Some(last) if before == Some(len) => last.end = at + 1,
                _ => parts.push(Part {
                    end: at + 1,
                    elementwise: own,
                    fork: None,
                }),
            }
            before = Some(len);
        }
        let outside: Vec<Slot> = states.iter().chain(given).chain(seen).copied().collect();
        let mut constant = vec![true; self.slots.len()];
        let changing = self.code.iter().map(|instruction| instruction.to);
        let swapped = swaps.iter().flat_map(|(x, y)| [*x, *y]);
        changing
            .chain(swapped)
            .chain(outside.iter().copied())
            .for_each(|slot| constant[slot] = false);
        // How often each buffer is read, what is outside the steps included.
        let mut readers = vec![0_usize; constant.len()];
        let swapped = swaps.iter().flat_map(|(x, y)| [*x, *y]);
        outside
            .iter()
            .copied()
            .chain(swapped)
            .for_each(|slot| readers[slot] += 1);
        for instruction in &mut self.code {
            instruction.work.reads(|slot| readers[*slot] += 1);
        }
        let mut first = 0;
        for part in &mut parts {
            let own = first..part.end;
            first = part.end;
            // A single element is as quickly computed as looked at.
            if !part.elementwise || self.slots[self.code[own.start].to].len() < 2 {
                continue;
            }
            let mut others = readers.clone();
            for instruction in &mut self.code[own.clone()] {
                instruction.work.reads(|slot| others[*slot] -= 1);
            }
            let read: Vec<bool> = others.iter().map(|count| *count > 0).collect();
            let known = Known {
                constant: &constant,
                read: &read,
            };
            part.fork = Fork::find(&self.code, own, &mut self.slots, &known);
        }
        parts
    }
}

/// How far apart the elements of each axis are, row-major.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut stride = 1;
    let mut strides: Vec<usize> = shape
        .iter()
        .rev()
        .map(|len| {
            let own = stride;
            stride *= len;
            own
        })
        .collect();
    strides.reverse();
    strides
}
