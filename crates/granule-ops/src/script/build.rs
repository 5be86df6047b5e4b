//! Making a script: constants are computed at once, what is there twice is made once, what nobody reads is left out, and
//! buffers are used again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::cpu::{Number, perform};
use super::fork::{Fork, Known};
use super::instruction::{
    Advanced, Binary, Elements, Instruction, Matrix, Piece, Sparse, Unary, Work,
};
use super::{Lanes, Once, Part, Slot, Steps};
use crate::conductance_step::Advance;
use crate::{Connections, Tree};

/// Runs of elements that are copied one by one; more of them are looked up element by element.
const MOST_PIECES: usize = 64;
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

/// What is added up by steps.
struct Sums {
    /// The instruction that makes each buffer.
    made: Vec<Option<usize>>,
    /// How often each is read.
    readers: Vec<usize>,
    /// What is added up, and where its sum is needed afterwards.
    found: Vec<(Slot, Slot)>,
}

/// An instruction by which another one is known to be the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Unary(Unary, Slot, usize),
    Binary(Binary, Slot, Slot),
    Choose(Slot, Slot, Slot),
    Advance(Advance, Vec<Slot>),
    Gather(Vec<Piece>),
    Product(Slot, Matrix, usize),
    Sparse(Slot, Matrix, Arc<[usize]>, Arc<[u32]>),
    TreeSolve([Slot; 3], Tree),
    Sum(Slot, usize, usize, u64),
}

/// What the numbers in a buffer depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depends {
    Nothing,
    /// What is set for a run: they are the same in all of its steps.
    Settings,
    Steps,
}

pub(super) struct Builder<T> {
    code: Vec<Instruction>,
    /// What is done once for a run, before its steps and after them.
    before: Vec<Instruction>,
    after: Vec<Instruction>,
    settings: Vec<Slot>,
    slots: Vec<Vec<T>>,
    depends: Vec<Depends>,
    known: HashMap<Key, Slot>,
    /// Constants by a hash of their bits.
    constants: HashMap<u64, Vec<Slot>>,
    /// Of constant matrices that were looked at.
    sparse: HashMap<(Slot, usize), Option<Sparse>>,
    /// Of weights of connections that were looked at, those of the rows.
    alike: HashMap<(Slot, Arc<[usize]>), Option<Slot>>,
}

impl<T: Number> Builder<T> {
    pub(super) fn new() -> Self {
        Self {
            code: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            settings: Vec::new(),
            slots: Vec::new(),
            depends: Vec::new(),
            known: HashMap::new(),
            constants: HashMap::new(),
            sparse: HashMap::new(),
            alike: HashMap::new(),
        }
    }

    fn slot(&mut self, values: Vec<T>, depends: Depends) -> Slot {
        self.slots.push(values);
        self.depends.push(depends);
        self.slots.len() - 1
    }

    /// Whether a buffer holds the same whatever is set and given.
    fn is_constant(&self, slot: Slot) -> bool {
        self.depends[slot] == Depends::Nothing
    }

    /// Whether a buffer holds the same in all steps of a run.
    fn is_fixed(&self, slot: Slot) -> bool {
        self.depends[slot] < Depends::Steps
    }

    /// What comes from outside at every step.
    pub(super) fn source(&mut self, shape: &[usize]) -> Value {
        let len = shape.iter().product();
        Value {
            shape: shape.to_vec(),
            slot: self.slot(vec![T::ZERO; len], Depends::Steps),
        }
    }

    /// What is set once for a run.
    pub(super) fn setting(&mut self, shape: &[usize]) -> Value {
        let len = shape.iter().product();
        let slot = self.slot(vec![T::ZERO; len], Depends::Settings);
        self.settings.push(slot);
        Value {
            shape: shape.to_vec(),
            slot,
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
            let slot = self.slot(values, Depends::Nothing);
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
        let own = self
            .is_constant(value.slot)
            .then(|| &self.slots[value.slot])?;
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
                Some(Work::Binary(Binary::Multiply, x, factor)) if self.is_constant(*factor) => {
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
            Work::Advance(own) => Key::Advance(own.of.clone(), own.operands.clone()),
            Work::Gather(pieces) => Key::Gather(pieces.clone()),
            Work::Product {
                left,
                right,
                columns,
                ..
            } => Key::Product(*left, *right, *columns),
            Work::SparseProduct { left, right } => {
                let (ends, column) = (Arc::clone(&right.ends), Arc::clone(&right.column));
                Key::Sparse(*left, right.values, ends, column)
            }
            Work::TreeSolve {
                diagonal,
                edges,
                rhs,
                tree,
            } => Key::TreeSolve([*diagonal, *edges, *rhs], tree.clone()),
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
        let mut depends = Depends::Nothing;
        work.reads(|slot| depends = depends.max(self.depends[*slot]));
        let to = self.slot(vec![T::ZERO; len], depends);
        let instruction = Instruction { work, to };
        match depends {
            Depends::Nothing => perform(&instruction, &mut self.slots, &[]),
            Depends::Settings => self.before.push(instruction),
            Depends::Steps => self.code.push(instruction),
        }
        self.known.insert(key, to);
        value(to)
    }

    pub(super) fn unary(&mut self, f: Unary, x: &Value) -> Value {
        let len = self.slots[x.slot].len();
        self.push(Work::Unary(f, x.slot), len, &x.shape)
    }

    /// A variable of cells, `shape`, after a step; `None` where an operand does not fit.
    pub(super) fn advance(
        &mut self,
        of: Advance,
        operands: &[Value],
        shape: &[usize],
    ) -> Option<Value> {
        let operands = operands.iter().map(|x| self.operand(x, shape));
        let operands = operands.collect::<Option<_>>()?;
        let work = Work::Advance(Box::new(Advanced {
            of,
            operands,
            number: None,
        }));
        Some(self.push(work, shape.iter().product(), shape))
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
        let list = places(shape, steps, first);
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

    /// `x` with other elements, `value`, at these places, rising; the shape is that of `x`.
    pub(super) fn placed(
        &mut self,
        x: &Value,
        value: &Value,
        places: &[u32],
        shape: &[usize],
    ) -> Value {
        let mut pieces = Vec::new();
        let mut add = |of: &Value, range: Range<usize>| {
            if !range.is_empty() {
                pieces.push(Piece {
                    from: of.slot,
                    elements: match self.slots[of.slot].len() {
                        1 => Elements::Repeated(range.len()),
                        _ => Elements::Range(range),
                    },
                });
            }
        };
        let mut at = 0;
        let mut first = 0;
        while first < places.len() {
            let place = places[first] as usize;
            let run = places[first..].iter().zip(places[first]..);
            let end = first + run.take_while(|(own, next)| *own == next).count();
            add(x, at..place);
            add(value, first..end);
            at = place + end - first;
            first = end;
        }
        add(x, at..x.len());
        if pieces.len() <= MOST_PIECES {
            return self.gather(pieces, shape);
        }
        let all = [x, value].map(|x| self.whole(x));
        let row = |x: &Value| Piece {
            from: x.slot,
            elements: Elements::Range(0..x.len()),
        };
        let together = all.iter().map(row).collect();
        let count = x.len() + value.len();
        let together = self.gather(together, &[count]);
        let mut list: Vec<u32> = (0..x.len() as u32).collect();
        for (place, own) in places.iter().zip(x.len() as u32..) {
            list[*place as usize] = own;
        }
        self.listed(&together, list, shape)
    }

    /// Zeros to which each element of `value` is added at its place.
    pub(super) fn scattered(
        &mut self,
        value: &Value,
        places: &[u32],
        shape: &[usize],
    ) -> Option<Value> {
        if places.is_sorted_by(|a, b| a < b) {
            let zero = self.number(0.0, shape);
            return Some(self.placed(&zero, value, places, shape));
        }
        let columns = shape.iter().product();
        let rows = places.iter().map(|place| [*place as usize]);
        let connections = Connections::new(columns, rows)?;
        let ones = self.known_constant(vec![T::ONE; places.len()], &[1, places.len()]);
        let sum = self.sparse_product(value, &ones, &connections)?;
        Some(self.reshaped(&sum, shape))
    }

    /// `∂L/∂w_ij = Σ_b x_bi ∂L/∂y_bj`
    pub(super) fn weights_gradient(
        &mut self,
        x: &Value,
        gradient: &Value,
        connections: &Connections,
    ) -> Option<Value> {
        let rows = *x.shape.first()?;
        let shape = [rows, connections.len()];
        let list = |width: usize, of: fn((usize, usize)) -> usize| {
            let row = |row: usize| connections.pairs().map(move |pair| row * width + of(pair));
            let all = (0..rows).flat_map(row).map(|place| place as u32);
            all.collect::<Vec<u32>>()
        };
        let from = list(connections.rows(), |(row, _)| row);
        let to = list(connections.columns(), |(_, column)| column);
        let x = self.listed(x, from, &shape);
        let gradient = self.listed(gradient, to, &shape);
        let products = self.binary(Binary::Multiply, &x, &gradient, &shape)?;
        self.sum(&products, 0, 1.0, &[1, connections.len()])
    }

    /// `∂L/∂M_ip = −Σ_b λ_bi x_bp` and `∂L/∂M_pi = −Σ_b λ_bp x_bi`, 0 at roots.
    pub(super) fn edges_gradient(
        &mut self,
        x: &Value,
        adjoint: &Value,
        tree: &Tree,
    ) -> Option<Value> {
        let nodes = tree.len();
        let rows = *x.shape.first()?;
        let parents: Vec<u32> = (0..rows)
            .flat_map(|row| (0..nodes).map(move |node| row * nodes + tree.parent(node)))
            .map(|place| place as u32)
            .collect();
        let shape = [rows, nodes];
        let sign = |node: usize| f64::from(i8::from(tree.parent(node) == node) - 1);
        let sign = self.constant((0..nodes).map(sign).collect(), &[1, nodes]);
        let mut pieces = Vec::with_capacity(2);
        for (own, parent) in [(adjoint, x), (x, adjoint)] {
            let parent = self.listed(parent, parents.clone(), &shape);
            let products = self.binary(Binary::Multiply, own, &parent, &shape)?;
            let sum = self.sum(&products, 0, 1.0, &[1, nodes])?;
            let sum = self.binary(Binary::Multiply, &sum, &sign, &[1, nodes])?;
            let sum = self.whole(&sum);
            pieces.push(Piece {
                from: sum.slot,
                elements: Elements::Range(0..nodes),
            });
        }
        Some(self.gather(pieces, &[2, nodes]))
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
        // Gradients are full of factors of 1.
        let is_one = |slot: Slot| self.is_constant(slot) && self.slots[slot] == [T::ONE];
        let same = match f {
            Binary::Multiply if is_one(x) => Some(y),
            Binary::Multiply | Binary::Divide if is_one(y) => Some(x),
            _ => None,
        };
        match same {
            Some(slot) if self.slots[slot].len() == len => Some(Value {
                shape: shape.to_vec(),
                slot,
            }),
            _ => Some(self.push(Work::Binary(f, x, y), len, shape)),
        }
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
        let left = self.whole(x);
        let rows = x.len() / connections.rows();
        let shape = [rows, connections.columns()];
        let of_rows = self.of_rows(values.slot, connections.ends());
        let alike = of_rows.is_some();
        let values = of_rows.unwrap_or_else(|| self.whole(values).slot);
        let work = Work::SparseProduct {
            left: left.slot,
            right: Sparse {
                columns: connections.columns(),
                ends: Arc::clone(connections.ends()),
                column: Arc::clone(connections.targets()),
                values: Matrix::Buffer(values),
                alike,
            },
        };
        Some(self.push(work, shape.iter().product(), &shape))
    }

    /// The weight of each row of a sparse matrix with these constant weights, where all of a row are the same: they take far less
    /// memory, which is what a step of a large network waits for.
    fn of_rows(&mut self, weights: Slot, ends: &Arc<[usize]>) -> Option<Slot> {
        if !self.is_constant(weights) {
            return None;
        }
        let key = (weights, Arc::clone(ends));
        if let Some(known) = self.alike.get(&key) {
            return *known;
        }
        let all = &self.slots[weights];
        let mut first = 0;
        let of_row = |end: &usize| {
            let own = if let [one] = all[..] {
                Some(one)
            } else {
                let own = &all[first..*end];
                let one = own.first().copied().unwrap_or(T::ZERO);
                own.iter().all(|x| *x == one).then_some(one)
            };
            first = *end;
            own
        };
        let found: Option<Vec<T>> = ends.iter().map(of_row).collect();
        let found = found.map(|values| self.known_constant(values, &[]).slot);
        self.alike.insert(key, found);
        found
    }

    /// What is not 0 of a constant matrix, where that is little.
    fn sparse(&mut self, matrix: Slot, columns: usize) -> Option<Sparse> {
        if let Some(known) = self.sparse.get(&(matrix, columns)) {
            return known.clone();
        }
        let values = &self.slots[matrix];
        let filled = values.iter().filter(|x| **x != T::ZERO).count();
        let few = self.is_constant(matrix) && (filled as f64) < SPARSE * values.len() as f64;
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
        let found = few.then(|| {
            let (kept, ends) = (self.slot(kept, Depends::Nothing), ends.into());
            let of_rows = self.of_rows(kept, &ends);
            Sparse {
                columns,
                ends,
                column: column.into(),
                values: Matrix::Buffer(of_rows.unwrap_or(kept)),
                alike: of_rows.is_some(),
            }
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
        let variables = states.len();
        let mut states: Vec<Slot> = states.iter().map(|x| x.slot).collect();
        let given: Vec<Slot> = given.iter().map(|x| x.slot).collect();
        let mut taken = Vec::new();
        for x in next {
            let x = self.whole(x);
            // A buffer can take the place of one variable only, and that of a constant of none.
            let own = self.is_fixed(x.slot) || given.contains(&x.slot) || taken.contains(&x.slot);
            taken.push(if own {
                let to = self.slot(vec![T::ZERO; x.len()], Depends::Steps);
                let work = Work::Unary(Unary::Copy, x.slot);
                self.code.push(Instruction { work, to });
                to
            } else {
                x.slot
            });
        }
        let seen: Vec<Slot> = seen.iter().map(|x| self.whole(x).slot).collect();
        let [sums, results] = self.sum_once(&mut states, &mut taken, &seen);
        self.prune(taken.iter().chain(&seen));
        let mut once = self.once();
        (once.sums, once.results) = (sums, results);
        let (matrices, set_matrices) = self.matrices();
        let fixed: Vec<Slot> = states
            .iter()
            .chain(&given)
            .chain(&taken)
            .chain(&seen)
            .copied()
            .collect();
        let place = self.places(&fixed);
        once.matrices = set_matrices;
        let own = self.depends.iter().zip(&place).enumerate();
        let set =
            own.filter(|(_, (depends, to))| **depends == Depends::Settings && **to != usize::MAX);
        once.buffers = set.map(|(from, (_, to))| (from, *to)).collect();
        let moved = |slots: &[Slot]| slots.iter().map(|slot| place[*slot]).collect::<Vec<_>>();
        let (states, given, taken, seen) =
            (moved(&states), moved(&given), moved(&taken), moved(&seen));
        let swaps = self.swaps(&states, &taken);
        let lanes = self.lanes(&states, &given, &seen);
        let mut read = vec![false; self.slots.len()];
        seen.iter().for_each(|slot| read[*slot] = true);
        for instruction in &mut self.code {
            instruction.work.reads(|slot| read[*slot] = true);
        }
        let needed = given.iter().map(|slot| read[*slot]).collect();
        let set: Vec<Slot> = once.buffers.iter().map(|(_, to)| *to).collect();
        let outside = [&states[..], &given, &seen, &set].concat();
        self.number_advances(&[&states[..], &given].concat());
        let parts = self.parts(&outside, &swaps);
        Some(Steps {
            lens: self.slots.iter().map(Vec::len).collect(),
            code: self.code,
            once,
            matrices: matrices.into(),
            slots: self.slots,
            parts,
            variables,
            states,
            given,
            needed,
            seen,
            swaps,
            lanes,
        })
    }

    /// Leaves out what nothing of `wanted` depends on.
    fn prune<'a>(&mut self, wanted: impl Iterator<Item = &'a Slot>) {
        let mut read = vec![false; self.slots.len()];
        wanted.for_each(|slot| read[*slot] = true);
        for instruction in &mut self.after {
            instruction.work.reads(|slot| read[*slot] = true);
        }
        for code in [&mut self.code, &mut self.before] {
            code.reverse();
            code.retain_mut(|instruction| {
                let kept = read[instruction.to];
                if kept {
                    instruction.work.reads(|slot| read[*slot] = true);
                }
                kept
            });
            code.reverse();
        }
    }

    /// What is done once for a run, on buffers of its own.
    fn once(&mut self) -> Once<T> {
        let mut before = std::mem::take(&mut self.before);
        let mut after = std::mem::take(&mut self.after);
        let mut used = vec![false; self.slots.len()];
        self.settings.iter().for_each(|slot| used[*slot] = true);
        for instruction in before.iter_mut().chain(&mut after) {
            used[instruction.to] = true;
            instruction.work.reads(|slot| used[*slot] = true);
        }
        let slots = self.slots.iter().zip(used);
        Once {
            before,
            after,
            slots: slots
                .map(|(x, used)| if used { x.clone() } else { Vec::new() })
                .collect(),
            settings: self.settings.clone(),
            buffers: Vec::new(),
            matrices: Vec::new(),
            sums: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Variables to which each step adds what is linear in something else, `γ ← γ + L(y)`, add up `y` instead, and `L` is done once:
    /// what a parameter is multiplied by before it enters the steps, and sums over all that share it. Returns of each new variable
    /// its place among the states and the buffer where it is needed afterwards, and of each of the old ones where what is added to
    /// it is found then.
    fn sum_once(
        &mut self,
        states: &mut Vec<Slot>,
        taken: &mut Vec<Slot>,
        seen: &[Slot],
    ) -> [Vec<(usize, Slot)>; 2] {
        let mut made = vec![None; self.slots.len()];
        let mut readers = vec![0_usize; self.slots.len()];
        for (at, instruction) in self.code.iter_mut().enumerate() {
            made[instruction.to] = Some(at);
            instruction.work.reads(|slot| readers[*slot] += 1);
        }
        let outside = taken.iter().chain(seen);
        outside.for_each(|slot| readers[*slot] += 1);
        let mut all = Sums {
            made,
            readers,
            found: Vec::new(),
        };
        let mut results = Vec::new();
        for variable in 0..states.len() {
            let (state, next) = (states[variable], taken[variable]);
            let Some(at) = all.made[next] else { continue };
            let added = match self.code[at].work {
                Work::Binary(Binary::Add, x, added) if x == state => added,
                Work::Binary(Binary::Add, added, x) if x == state => added,
                _ => continue,
            };
            let alone = all.readers[state] == 1 && all.readers[next] == 1;
            let fits = added != state && self.slots[added].len() == self.slots[state].len();
            if alone && fits && self.linear(added, &all).is_some() {
                let result = self.sum_of(added, &mut all);
                results.push((variable, result));
                taken[variable] = state;
            }
        }
        let mut sums = Vec::with_capacity(all.found.len());
        for (added, later) in all.found {
            let len = self.slots[added].len();
            let [state, next] = [(); 2].map(|()| self.slot(vec![T::ZERO; len], Depends::Steps));
            let work = Work::Binary(Binary::Add, state, added);
            self.code.push(Instruction { work, to: next });
            sums.push((states.len(), later));
            states.push(state);
            taken.push(next);
        }
        [sums, results]
    }

    /// The buffers that this one is linear in, where nothing else depends on it and what it is made of.
    fn linear(&self, slot: Slot, all: &Sums) -> Option<Vec<Slot>> {
        let at = all.made.get(slot).copied().flatten()?;
        if all.readers[slot] != 1 {
            return None;
        }
        let zero =
            |slot: Slot| self.is_constant(slot) && self.slots[slot].iter().all(|x| *x == T::ZERO);
        let fixed = |slot: Slot| self.is_fixed(slot);
        match &self.code[at].work {
            Work::Unary(Unary::Negate | Unary::Copy, x) | Work::Sum { of: x, .. } => Some(vec![*x]),
            // Not of sums and differences: in single precision the sums of both terms may be much larger than that of the terms.
            Work::Binary(Binary::Multiply | Binary::Divide, x, y) if fixed(*y) => Some(vec![*x]),
            Work::Binary(Binary::Multiply, x, y) if fixed(*x) => Some(vec![*y]),
            Work::Choose(mask, x, y) if fixed(*mask) && zero(*y) && !fixed(*x) => Some(vec![*x]),
            Work::Choose(mask, x, y) if fixed(*mask) && zero(*x) && !fixed(*y) => Some(vec![*y]),
            Work::Gather(pieces) => {
                let mut of = None;
                for piece in pieces.iter().filter(|piece| !zero(piece.from)) {
                    if fixed(piece.from) || of.is_some_and(|of| of != piece.from) {
                        return None;
                    }
                    of = Some(piece.from);
                }
                // Several pieces of one buffer are as many readers.
                let whole = |of: &Slot| {
                    let own = pieces.iter().filter(|piece| piece.from == *of).count();
                    own == all.readers[*of]
                };
                of.filter(whole).map(|of| vec![of])
            }
            _ => None,
        }
    }

    /// The buffer that has, after the steps, the sum of this one over all of them.
    fn sum_of(&mut self, slot: Slot, all: &mut Sums) -> Slot {
        let of = self.linear(slot, all);
        let to = self.slot(vec![T::ZERO; self.slots[slot].len()], Depends::Steps);
        let (Some(of), Some(at)) = (of, all.made.get(slot).copied().flatten()) else {
            all.found.push((slot, to));
            return to;
        };
        let sums: Vec<(Slot, Slot)> = of.iter().map(|x| (*x, self.sum_of(*x, all))).collect();
        let mut work = self.code[at].work.clone();
        work.reads(|slot| {
            if let Some((_, sum)) = sums.iter().find(|(of, _)| of == slot) {
                *slot = *sum;
            }
        });
        self.after.push(Instruction { work, to });
        to
    }

    /// Takes the matrices that stay the same in all steps out of the buffers, of which every tile has its own; and those of them
    /// that depend on settings, by the buffer that they are in before the first step.
    fn matrices(&mut self) -> (Vec<Vec<T>>, Vec<(Slot, usize)>) {
        let mut found: Vec<Slot> = Vec::new();
        for instruction in &mut self.code {
            if let Some(matrix) = instruction.work.matrix()
                && let Matrix::Buffer(slot) = *matrix
                && self.depends[slot] < Depends::Steps
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
        let mut set = Vec::new();
        let mut matrices = Vec::with_capacity(found.len());
        for (index, slot) in found.into_iter().enumerate() {
            matrices.push(if !self.is_constant(slot) {
                set.push((slot, index));
                Vec::new()
            } else if read[slot] {
                self.slots[slot].clone()
            } else {
                std::mem::take(&mut self.slots[slot])
            });
        }
        (matrices, set)
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
            if kept[slot] || (used[slot] && self.is_fixed(slot)) {
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
                let dynamic = self.depends[*slot] == Depends::Steps && !kept[*slot];
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

    /// Gives a number to each variable of cells whose constants no step changes, where `filled` are the buffers that are filled for a
    /// step.
    fn number_advances(&mut self, filled: &[Slot]) {
        let mut changes = vec![false; self.slots.len()];
        let written = self.code.iter().map(|instruction| &instruction.to);
        written.chain(filled).for_each(|slot| changes[*slot] = true);
        let mut number = 0;
        for instruction in &mut self.code {
            if let Work::Advance(own) = &mut instruction.work {
                let constants = &own.operands[own.of.first_constant()..];
                if !constants.iter().any(|slot| changes[*slot]) {
                    own.number = Some(number);
                    number += 1;
                }
            }
        }
    }

    /// Runs of instructions of element by element on buffers of one length; others by themselves.
    /// `outside` are the buffers that something else than the instructions reads or fills.
    fn parts(&mut self, outside: &[Slot], swaps: &[(Slot, Slot)]) -> Vec<Part> {
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

/// The place that each index of `shape` leads to by `steps`, from `first` on.
pub(super) fn places(shape: &[usize], steps: &[usize], first: usize) -> Vec<u32> {
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
    list
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
