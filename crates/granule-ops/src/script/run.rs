//! Many steps of a script.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use burn::tensor::Device;
use rayon::prelude::*;

use super::cpu::{Look, Many, Number, Tile, perform};
use super::given::{Drawn, Given};
use super::team::{Alone, Exchange};
use super::{Lanes, Precision, Script, Steps};

/// Bytes that the buffers of a tile should fit in, half of which a step looks at: the nearest cache.
const NEAR: usize = 48 << 10;
/// Numbers that are drawn before the steps are taken: 2 MiB, so that they are in a near cache still.
const TOGETHER: usize = 1 << 18;
/// Elementary steps that are worth a second thread.
const PARALLEL: usize = 1 << 16;
/// Elementary operations of a step that are worth a thread which waits for the others in each of them. Tests have few cells.
const SHARE: usize = if cfg!(test) { 1 << 10 } else { 1 << 14 };

/// Threads that wait for each other, in the whole process: more than there are processors would wait for a turn.
static MEETING: AtomicUsize = AtomicUsize::new(0);

/// Some of [`MEETING`], until this is dropped.
struct Threads(usize);

impl Threads {
    /// Up to `most`, and one at least.
    fn take(most: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all = rayon::current_num_threads().min(cores);
        let mut own = 1;
        let _ = MEETING.fetch_update(Ordering::AcqRel, Ordering::Acquire, |busy| {
            own = most.min(all.saturating_sub(busy)).max(1);
            Some(busy + own)
        });
        Self(own)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        MEETING.fetch_sub(self.0, Ordering::AcqRel);
    }
}

/// When something is kept of what is seen of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum See {
    /// At no time.
    Never,
    /// After so many steps, counted from the beginning of the run.
    Every(usize),
    /// After each step the elements at whose place that thing of what is seen, which has as many, is not 0.
    Where(usize),
}

/// What was kept of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The numbers: of [`See::Every`] row after row, of [`See::Where`] one after the other, in the order of the steps and of the
    /// elements in each.
    pub values: Vec<f64>,
    /// The step, counted from the beginning of the run, and the element of each number of [`See::Where`]; else empty.
    pub places: Vec<(usize, usize)>,
}

#[derive(Debug)]
pub(super) enum Tiles {
    F32(Vec<Tile<f32>>),
    F64(Vec<Tile<f64>>),
    #[cfg(gpu)]
    Gpu(Box<super::cube::Place>),
}

impl Script {
    /// Whether runs can be taken on this device: on any CPU backend, and on a GPU where the script is a kernel, which it is in
    /// f32 where every element goes its own way.
    pub fn runs_on(&self, device: &Device) -> bool {
        #[cfg(gpu)]
        if self.gpu(device).is_some() {
            return true;
        }
        crate::is_host(device)
    }
}

/// A step of a run.
#[derive(Clone, Debug)]
pub struct Saved {
    done: usize,
    state: Vec<Vec<f64>>,
}

impl Saved {
    /// The steps done by then.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The state, each variable row-major.
    pub fn state(&self) -> &[Vec<f64>] {
        &self.state
    }
}

/// A script with its state.
#[derive(Debug)]
pub struct Run {
    script: Arc<Script>,
    done: usize,
    /// What was drawn last, whose memory is used again.
    drawn: Vec<Vec<f64>>,
    alone: Alone,
    pub(super) tiles: Tiles,
}

impl Run {
    /// A run from a state, each variable row-major, of a script for which nothing is set. `None` where it does not fit the script.
    pub fn new(script: Arc<Script>, state: &[Vec<f64>]) -> Option<Self> {
        Self::with(script, &[], state)
    }

    /// A run from a state with what is [set](super::setting) for it, all row-major. `None` where they do not fit the script.
    pub fn with(script: Arc<Script>, settings: &[Vec<f64>], state: &[Vec<f64>]) -> Option<Self> {
        let are = |lengths: Vec<usize>, given: &[Vec<f64>]| {
            lengths.into_iter().eq(given.iter().map(Vec::len))
        };
        let fits = are(script.states(), state) && are(script.settings(), settings);
        let tiles = fits.then(|| match &script.0 {
            Precision::F32(steps) => Tiles::F32(steps.begin(settings, state)),
            Precision::F64(steps) => Tiles::F64(steps.begin(settings, state)),
        })?;
        Some(Self {
            script,
            done: 0,
            drawn: Vec::new(),
            alone: Alone::default(),
            tiles,
        })
    }

    /// The same run, that counts its steps from `done` on.
    pub fn after(self, done: usize) -> Self {
        Self { done, ..self }
    }

    /// The same run on a device: on a GPU as a kernel, where the script [has one](Script::runs_on), else on the CPU.
    pub fn on(self, device: &Device) -> Self {
        #[cfg(gpu)]
        if let Some(gpu) = self.script.gpu(device) {
            let tiles = Tiles::Gpu(Box::new(super::cube::Place::new(gpu, self.state())));
            return Self { tiles, ..self };
        }
        let _ = device;
        self
    }

    /// What is needed to [go back](Self::restore) to this step.
    pub fn saved(&self) -> Saved {
        let mut saved = Saved {
            done: 0,
            state: Vec::new(),
        };
        self.save(&mut saved);
        saved
    }

    /// The same in the place of what was saved before, whose memory is used again.
    pub fn save(&self, saved: &mut Saved) {
        saved.done = self.done;
        match (&self.script.0, &self.tiles) {
            (Precision::F32(steps), Tiles::F32(tiles)) => steps.save(tiles, &mut saved.state),
            (Precision::F64(steps), Tiles::F64(tiles)) => steps.save(tiles, &mut saved.state),
            #[cfg(gpu)]
            (Precision::F32(steps), Tiles::Gpu(place)) => saved.state = steps.state_on(place),
            _ => {}
        }
    }

    /// Goes back, or on, to a step of this run or of one of the same script.
    pub fn restore(&mut self, saved: &Saved) {
        self.done = saved.done;
        self.set(&saved.state);
    }

    /// Changes the state, each variable row-major. Numbers beyond the length of a variable are left out.
    pub fn set(&mut self, state: &[Vec<f64>]) {
        match (&self.script.0, &mut self.tiles) {
            (Precision::F32(steps), Tiles::F32(tiles)) => steps.restore(tiles, state),
            (Precision::F64(steps), Tiles::F64(tiles)) => steps.restore(tiles, state),
            #[cfg(gpu)]
            (_, Tiles::Gpu(place)) => place.restore(state),
            _ => {}
        }
    }

    /// The steps done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The state, each variable row-major.
    pub fn state(&self) -> Vec<Vec<f64>> {
        self.saved().state
    }

    /// Takes `steps` steps. `given` has what is given for them, each source for all steps in a row; on the CPU nothing is enough of
    /// what is not [needed](Script::needed). `see` says when something is kept of each thing that can be seen, which is returned.
    /// `None` where what is given or asked for does not fit.
    pub fn steps(&mut self, steps: usize, given: &[Vec<f64>], see: &[See]) -> Option<Vec<Seen>> {
        let given: Vec<Given<'_>> = given.iter().map(|x| Given::Numbers(x)).collect();
        self.steps_drawn(steps, &given, see)
    }

    /// The same, of which some is drawn as it is needed.
    pub fn steps_drawn(
        &mut self,
        steps: usize,
        given: &[Given<'_>],
        see: &[See],
    ) -> Option<Vec<Seen>> {
        let lengths = self.script.given();
        let things = self.script.seen();
        let sees = |(see, len): (&See, &usize)| match see {
            See::Never => true,
            See::Every(steps) => *steps > 0,
            See::Where(thing) => things.get(*thing) == Some(len),
        };
        let on_host = matches!(self.tiles, Tiles::F32(_) | Tiles::F64(_));
        let enough = |((len, needed), given): ((&usize, &bool), &Given<'_>)| match given {
            Given::Numbers([]) if on_host && !needed => true,
            Given::Numbers(values) => values.len() == len * steps,
            Given::Drawn(_) => true,
        };
        let sources = lengths.iter().zip(self.script.needed());
        let fits = lengths.len() == given.len()
            && sources.zip(given).all(enough)
            && see.len() == things.len()
            && see.iter().zip(&things).all(sees);
        if !fits {
            return None;
        }
        if self.meets() || !given.iter().any(Given::is_drawn) {
            return self.take(steps, given, see);
        }
        let mut drawn = std::mem::take(&mut self.drawn);
        drawn.resize(given.len(), Vec::new());
        let seen = self.in_parts(steps, (given, &mut drawn, &lengths), see);
        self.drawn = drawn;
        seen
    }

    /// Draws what is given for some steps, takes these, and so on.
    fn in_parts(
        &mut self,
        steps: usize,
        (given, drawn, lengths): (&[Given<'_>], &mut [Vec<f64>], &[usize]),
        see: &[See],
    ) -> Option<Vec<Seen>> {
        let most = (TOGETHER / lengths.iter().sum::<usize>().max(1)).max(1);
        let mut all: Vec<Seen> = vec![Seen::default(); see.len()];
        let mut done = 0;
        loop {
            let count = most.min(steps - done);
            for ((given, own), width) in given.iter().zip(&mut *drawn).zip(lengths) {
                given.draw([self.done, count], *width, own);
            }
            let own = given.iter().zip(&*drawn).zip(lengths);
            let own = own.map(|((given, drawn), width)| match given {
                Given::Numbers(values) => {
                    let own = values.get(done * width..(done + count) * width);
                    Given::Numbers(own.unwrap_or_default())
                }
                Given::Drawn(_) => Given::Numbers(drawn),
            });
            let seen = self.take(count, &own.collect::<Vec<_>>(), see)?;
            done += count;
            for (all, seen) in all.iter_mut().zip(seen) {
                if all.values.is_empty() {
                    *all = seen;
                } else {
                    all.values.extend(seen.values);
                    all.places.extend(seen.places);
                }
            }
            if done == steps {
                return Some(all);
            }
        }
    }

    /// Whether tiles meet, which draw what is for them together.
    fn meets(&self) -> bool {
        match (&self.script.0, &self.tiles) {
            (Precision::F32(steps), Tiles::F32(tiles)) => steps.meets(tiles),
            (Precision::F64(steps), Tiles::F64(tiles)) => steps.meets(tiles),
            _ => false,
        }
    }

    fn take(&mut self, steps: usize, given: &[Given<'_>], see: &[See]) -> Option<Vec<Seen>> {
        let span = (self.done, steps);
        let alone = &mut self.alone;
        let seen = match (&self.script.0, &mut self.tiles) {
            (Precision::F32(of), Tiles::F32(tiles)) => of.run(tiles, span, (given, see), alone),
            (Precision::F64(of), Tiles::F64(tiles)) => of.run(tiles, span, (given, see), alone),
            #[cfg(gpu)]
            (Precision::F32(of), Tiles::Gpu(place)) => {
                let numbers = given.iter().map(|given| match given {
                    Given::Numbers(values) => values.to_vec(),
                    Given::Drawn(_) => Vec::new(),
                });
                of.run_on(place, span, &numbers.collect::<Vec<_>>(), see)?
            }
            _ => return None,
        };
        self.done += steps;
        Some(seen)
    }
}

/// The buffers where a run begins.
struct Set<'a, T: Clone> {
    slots: Cow<'a, [Vec<T>]>,
    matrices: Arc<[Vec<T>]>,
    once: Arc<[Vec<T>]>,
}

impl<T: Number> Steps<T> {
    /// The elements that go together.
    fn tiles(&self) -> Vec<Option<Range<usize>>> {
        let (lanes, width) = match self.lanes {
            Lanes::Together => return vec![None],
            Lanes::Apart(lanes) => {
                let wide = self.lens.iter().filter(|len| **len > 1).count().max(1);
                let most = (NEAR / (wide * size_of::<T>())).clamp(32, 512);
                // Whole blocks of cells, else whole vectors.
                let whole = if most < 128 { 16 } else { 128 };
                let most = most / whole * whole;
                // Two tiles at least where there is enough for both.
                (
                    lanes,
                    most.min(lanes.div_ceil(2).next_multiple_of(16).max(32)),
                )
            }
            Lanes::Meeting(lanes) => {
                let work = self.code.len() * lanes + self.multiplications() / 4;
                let worth = work / SHARE;
                let tiles = worth.clamp(1, rayon::current_num_threads().max(1));
                (lanes, lanes.div_ceil(tiles).next_multiple_of(16))
            }
        };
        if width >= lanes {
            return vec![None];
        }
        let firsts = (0..lanes).step_by(width);
        let own = firsts.map(|first| Some(first..(first + width).min(lanes)));
        own.collect()
    }

    fn meets(&self, tiles: &[Tile<T>]) -> bool {
        matches!(self.lanes, Lanes::Meeting(_)) && tiles.len() > 1
    }

    /// The buffers and the matrices with what is set for a run, and what is done before its steps.
    fn set(&self, settings: &[Vec<f64>]) -> Set<'_, T> {
        let once = &self.once;
        let mut own = once.slots.clone();
        let (mut slots, mut matrices) =
            (Cow::Borrowed(&self.slots[..]), Arc::clone(&self.matrices));
        if !once.settings.is_empty() {
            for (slot, values) in once.settings.iter().zip(settings) {
                for (own, value) in own[*slot].iter_mut().zip(values) {
                    *own = T::of(*value);
                }
            }
            for instruction in &once.before {
                perform(instruction, &mut own, &[]);
            }
            for (from, to) in &once.buffers {
                slots.to_mut()[*to].clone_from(&own[*from]);
            }
            let mut all = matrices.to_vec();
            for (from, index) in &once.matrices {
                all[*index].clone_from(&own[*from]);
            }
            matrices = all.into();
        }
        Set {
            slots,
            matrices,
            once: own.into(),
        }
    }

    fn begin(&self, settings: &[Vec<f64>], state: &[Vec<f64>]) -> Vec<Tile<T>> {
        let set = self.set(settings);
        let tiles = self.tiles().into_iter().map(|lanes| {
            let mut tile = Tile {
                lanes,
                slots: Vec::new(),
                matrices: Arc::clone(&set.matrices),
                once: Arc::clone(&set.once),
            };
            let slots = set.slots.iter().map(|x| x[tile.part(x.len())].to_vec());
            tile.slots = slots.collect();
            tile
        });
        let mut tiles: Vec<_> = tiles.collect();
        self.restore(&mut tiles, state);
        tiles
    }

    fn restore(&self, tiles: &mut [Tile<T>], state: &[Vec<f64>]) {
        for tile in tiles {
            for slot in &self.states[self.variables..] {
                tile.slots[*slot].fill(T::ZERO);
            }
            for (slot, x) in self.states[..self.variables].iter().zip(state) {
                let part = tile.part(x.len());
                for (own, x) in tile.slots[*slot].iter_mut().zip(&x[part]) {
                    *own = T::of(*x);
                }
            }
        }
    }

    fn save(&self, tiles: &[Tile<T>], state: &mut Vec<Vec<f64>>) {
        state.resize(self.states.len(), Vec::new());
        for (slot, state) in self.states.iter().zip(state.iter_mut()) {
            // Every tile has all of a buffer of one element.
            let tiles = if self.lens[*slot] == 1 {
                &tiles[..1]
            } else {
                tiles
            };
            state.clear();
            let values = tiles.iter().flat_map(|tile| &tile.slots[*slot]);
            state.extend(values.map(|x| x.to_f64()));
        }
        if let [tile, ..] = tiles
            && !self.once.results.is_empty()
        {
            self.add_sums(&tile.once, state);
        }
        state.truncate(self.variables);
    }

    /// Adds to the variables what is made of what the steps have added up.
    fn add_sums(&self, once: &[Vec<T>], states: &mut [Vec<f64>]) {
        let mut own = once.to_vec();
        for (place, slot) in &self.once.sums {
            for (own, sum) in own[*slot].iter_mut().zip(&states[*place]) {
                *own = T::of(*sum);
            }
        }
        for instruction in &self.once.after {
            perform(instruction, &mut own, &[]);
        }
        for (variable, slot) in &self.once.results {
            for (x, sum) in states[*variable].iter_mut().zip(&own[*slot]) {
                *x = (T::of(*x) + *sum).to_f64();
            }
        }
    }

    fn run(
        &self,
        tiles: &mut [Tile<T>],
        (before, steps): (usize, usize),
        (given, see): (&[Given<'_>], &[See]),
        alone: &mut Alone,
    ) -> Vec<Seen> {
        let drawn = Drawn::new(given, &self.lengths(&self.given), [steps, tiles.len()]);
        let mut seen: Vec<Vec<Seen>> = tiles
            .iter()
            .map(|tile| self.room(tile, steps, see))
            .collect();
        let mut looks: Vec<Look> = Vec::new();
        for (reader, see) in see.iter().enumerate() {
            let See::Where(thing) = see else {
                continue;
            };
            match looks.iter_mut().find(|look| look.thing == *thing) {
                Some(look) => look.readers.push(reader),
                None => looks.push(Look {
                    thing: *thing,
                    readers: vec![reader],
                }),
            }
        }
        let looks = &looks;
        let run = |first: usize,
                   tiles: &mut [Tile<T>],
                   seen: &mut [Vec<Seen>],
                   exchange: Option<&Exchange<T>>| {
            Many {
                of: self,
                tiles,
                first,
                exchange,
                given,
                drawn: drawn.as_ref(),
                see,
                looks,
                seen,
                before,
                steps,
            }
            .run();
        };
        match self.lanes {
            Lanes::Meeting(_) if self.meets(tiles) => {
                let most = if alone.is_next() { 1 } else { tiles.len() };
                let threads = Threads::take(most);
                let exchange = Exchange::new(tiles.len());
                self.meeting((threads.0, &exchange), tiles, &mut seen, &run);
                alone.learn(&exchange);
            }
            Lanes::Apart(lanes) if self.code.len() * steps * lanes >= PARALLEL => {
                tiles.par_iter_mut().zip(&mut seen).enumerate().for_each(
                    |(first, (tile, seen))| {
                        let seen = std::slice::from_mut(seen);
                        run(first, std::slice::from_mut(tile), seen, None);
                    },
                );
            }
            _ => {
                for (first, (tile, seen)) in tiles.iter_mut().zip(&mut seen).enumerate() {
                    let seen = std::slice::from_mut(seen);
                    run(first, std::slice::from_mut(tile), seen, None);
                }
            }
        }
        self.joined(tiles, seen, see)
    }

    /// Tiles that meet at products, on so many threads as far as they are to be had.
    pub(super) fn meeting(
        &self,
        (threads, exchange): (usize, &Exchange<T>),
        tiles: &mut [Tile<T>],
        seen: &mut [Vec<Seen>],
        run: &(impl Fn(usize, &mut [Tile<T>], &mut [Vec<Seen>], Option<&Exchange<T>>) + Sync),
    ) {
        std::thread::scope(|scope| {
            let others = (1..threads).map_while(|_| {
                let (sender, receiver) = channel::<(usize, &mut [Tile<T>], &mut [Vec<Seen>])>();
                let work = move || {
                    if let Ok((first, tiles, seen)) = receiver.recv() {
                        let _present = exchange.present();
                        run(first, tiles, seen, Some(exchange));
                    }
                };
                let spawned = std::thread::Builder::new().spawn_scoped(scope, work);
                spawned.is_ok().then_some(sender)
            });
            let others: Vec<_> = others.collect();
            exchange.set_threads(others.len() + 1);
            let share = tiles.len().div_ceil(others.len() + 1);
            let (own, mut tiles) = tiles.split_at_mut(share);
            let (own_seen, mut seen) = seen.split_at_mut(share);
            let mut first = share;
            for sender in &others {
                let count = share.min(tiles.len());
                let (next, rest) = std::mem::take(&mut tiles).split_at_mut(count);
                let (next_seen, rest_seen) = std::mem::take(&mut seen).split_at_mut(count);
                (tiles, seen) = (rest, rest_seen);
                // Its thread waits for this.
                let _ = sender.send((first, next, next_seen));
                first += count;
            }
            let _present = exchange.present();
            run(0, own, own_seen, Some(exchange));
        });
    }

    /// Room for what a tile will see.
    fn room(&self, tile: &Tile<T>, steps: usize, see: &[See]) -> Vec<Seen> {
        let rooms = self.seen.iter().zip(see).map(|(slot, see)| Seen {
            values: match see {
                See::Every(every) => {
                    Vec::with_capacity((steps / every + 1) * tile.slots[*slot].len())
                }
                _ => Vec::new(),
            },
            places: Vec::new(),
        });
        rooms.collect()
    }

    /// What all tiles saw.
    fn joined(&self, tiles: &[Tile<T>], mut seen: Vec<Vec<Seen>>, see: &[See]) -> Vec<Seen> {
        if seen.len() == 1 {
            return seen.pop().unwrap_or_default();
        }
        let things = self.seen.iter().zip(see).enumerate();
        let things = things.map(|(thing, (slot, see))| {
            let own = seen.iter_mut().map(|seen| std::mem::take(&mut seen[thing]));
            let own: Vec<Seen> = own.collect();
            match see {
                See::Where(_) => in_order(own),
                _ => Seen {
                    values: rows(&own, tiles, self.lens[*slot]),
                    places: Vec::new(),
                },
            }
        });
        things.collect()
    }
}

/// The rows of all elements from those of the tiles.
fn rows<T>(own: &[Seen], tiles: &[Tile<T>], len: usize) -> Vec<f64> {
    let widths = tiles.iter().map(|tile| tile.part(len).len());
    let parts: Vec<(&[f64], usize)> = match len {
        // The first tile speaks for all.
        1 => own[..1].iter().map(|seen| (&seen.values[..], 1)).collect(),
        _ => own
            .iter()
            .map(|seen| &seen.values[..])
            .zip(widths)
            .collect(),
    };
    let count = parts
        .first()
        .map_or(0, |(own, width)| own.len() / (*width).max(1));
    let mut all = Vec::with_capacity(count * len);
    for row in 0..count {
        for (own, width) in &parts {
            all.extend_from_slice(&own[row * width..][..*width]);
        }
    }
    all
}

/// By the step, and by the element in each.
fn in_order(own: Vec<Seen>) -> Seen {
    let mut all: Vec<((usize, usize), f64)> = own
        .into_iter()
        .flat_map(|seen| seen.places.into_iter().zip(seen.values))
        .collect();
    all.sort_by_key(|(place, _)| *place);
    let (places, values) = all.into_iter().unzip();
    Seen { values, places }
}
