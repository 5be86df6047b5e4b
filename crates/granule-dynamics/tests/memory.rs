//! What the memory policies of a gradient promise, measured by counting every byte that is allocated.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::Tensor;
use granule_device::DeviceSpec;
use granule_dynamics::gradient::{Memory, Run, gradient};
use granule_dynamics::solver::{Midpoint, Stepped};
use granule_dynamics::{
    Bounds, DynamicsError, Field, Grid, Model, NoInput, Parameter, Place, State, Variable, host,
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 4;
const WIDTH: usize = 16;
const STEPS: usize = 10_000;

/// τ dx/dt = −x + tanh(x).
#[derive(Module, Debug)]
struct Unit {
    tau: Parameter,
}

struct UnitField {
    variables: Vec<Variable>,
    tau: Tensor<2>,
}

impl Field for UnitField {
    fn name(&self) -> &str {
        "unit"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn derivative(&self, _time: f64, state: &State, _input: Option<&Tensor<2>>) -> State {
        let x = state[0].clone();
        State::new(vec![(x.clone().tanh() - x) / self.tau.clone()])
    }
}

impl Model for Unit {
    type Dynamics = Stepped<UnitField, Midpoint>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        Ok(Stepped {
            field: UnitField {
                variables: vec![Variable::new("x", "1", WIDTH)],
                tau: self.tau.value(),
            },
            solver: Midpoint,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        Ok(State::new(vec![
            Place::of(&self.tau.value()).full(0.9, [batch, WIDTH]),
        ]))
    }
}

/// The bytes that a gradient over `steps` steps needs at once, and the slope of the parameter.
fn peak(model: &Unit, steps: usize, memory: Memory) -> (usize, f64) {
    let grid = Grid::Uniform {
        start: 0.0,
        dt: 10.0 / steps as f64,
        steps,
    };
    let run = Run {
        initial: None,
        batch: BATCH,
        input: &NoInput,
        grid: &grid,
        every: steps,
        memory: &memory,
    };
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut result = gradient(model, &run, |seen| seen.mean()).unwrap();
    let most = PEAK.load(Ordering::Relaxed) - before;
    let slope = result.parameters.remove::<2>(model.tau.raw.id).unwrap();
    (most, host(slope).unwrap()[0])
}

/// A policy needs, within a quarter, the states it stores and the tape of the steps it keeps.
#[test]
fn a_gradient_needs_the_memory_its_policy_states() {
    let spec: DeviceSpec = "flex".parse().unwrap();
    let device = spec.open().unwrap().burn().clone().autodiff();
    let place = Place::f64(&device);
    let tau = Parameter::trainable("tau", &[10.0], Bounds::Above(0.0), &place).unwrap();
    let model = Unit { tau };
    peak(&model, 10, Memory::Full);

    let state = BATCH * WIDTH * 8 + 256;
    let tape = |steps: usize| peak(&model, steps, Memory::Full).0;
    let (full, exact) = peak(&model, STEPS, Memory::Full);
    println!("Full: {full} bytes, {} a step", full / STEPS);
    for (memory, states, steps) in [
        (Memory::Segments(100), 100, 100),
        (Memory::Segments(10), 10, 1000),
        (Memory::Nested(vec![20, 20]), 40, 25),
        (Memory::Nested(vec![10, 10, 10]), 30, 10),
        (Memory::Truncated(50), 200, 50),
    ] {
        let truncated = matches!(memory, Memory::Truncated(_));
        let name = format!("{memory:?}");
        let (found, slope) = peak(&model, STEPS, memory);
        let stated = states * state + tape(steps);
        println!(
            "{name}: {found} bytes, {stated} stated, 1/{} of Full",
            full / found
        );
        assert!(
            4 * found < 5 * stated,
            "{name}: {found} bytes, {stated} stated"
        );
        assert!(found < full / 5, "{name}: {found} bytes, {full} for Full");
        assert!(
            truncated || (slope - exact).abs() < 1e-10 * exact.abs(),
            "{name}"
        );
    }
}
