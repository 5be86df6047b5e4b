//! The products against their bound, and the two arithmetics against each other.

use super::pack::{Right, round};
use super::*;
use crate::matmul::Matrix;
use crate::plan::vector::at_most::each_level;
use crate::testing::{assert_one_result, numbers};

const BOTH: [Bf16Arithmetic; 2] = [Bf16Arithmetic::Avx512Bf16, Bf16Arithmetic::Emulated];

/// Those of this processor.
fn arithmetics() -> impl Iterator<Item = Bf16Arithmetic> {
    let found = Bf16Arithmetic::of_this_processor();
    if found == Bf16Arithmetic::Emulated {
        eprintln!("skipped AVX512-BF16: this processor has none");
    }
    BOTH.into_iter()
        .filter(move |arithmetic| *arithmetic == Bf16Arithmetic::Emulated || *arithmetic == found)
}

/// Numbers of several magnitudes.
fn singles(count: usize, seed: u64) -> Vec<f32> {
    let numbers = numbers(2 * count, seed);
    let pairs = numbers.chunks_exact(2);
    pairs
        .map(|pair| (pair[0] * (8.0 * pair[1]).exp2()) as f32)
        .collect()
}

fn value(half: u32) -> f32 {
    f32::from_bits(half << 16)
}

#[test]
fn rounding_is_to_the_nearest_and_to_the_even_of_two() {
    for (x, expected) in [
        (1.0, 1.0),
        (1.0 + 1.0 / 256.0, 1.0),
        (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
        (1.0 + 1.0 / 256.0 + f32::EPSILON, 1.0 + 2.0 / 256.0),
        (1.0 - 1.0 / 512.0, 1.0),
        (-1.5, -1.5),
        (0.0, 0.0),
        (f32::MAX, f32::INFINITY),
        (f32::INFINITY, f32::INFINITY),
        (f32::NEG_INFINITY, f32::NEG_INFINITY),
        (f32::MIN_POSITIVE, f32::MIN_POSITIVE),
        (f32::MIN_POSITIVE / 2.0, 0.0),
    ] {
        assert_eq!(f32::from_bits(rounded(x)), expected, "{x}");
    }
    assert_eq!(rounded(-0.0), 0x8000_0000);
    assert_eq!(rounded(-f32::MIN_POSITIVE / 2.0), 0x8000_0000);
    // A NaN whose payload is in the low half stays one.
    assert!(f32::from_bits(rounded(f32::from_bits(0x7f80_0001))).is_nan());
    for x in singles(10_000, 1) {
        let error = (f64::from(f32::from_bits(rounded(x))) - f64::from(x)).abs();
        assert!(error <= f64::from(x).abs() / 256.0, "{x}");
    }
}

/// Every instruction set rounds as [`rounded`] does, in whole vectors and in what is left over.
#[test]
fn what_is_packed_is_rounded_alike() {
    let mut x = singles(97, 2);
    x[..8].copy_from_slice(&[
        f32::NAN,
        f32::INFINITY,
        f32::MAX,
        -f32::MIN_POSITIVE / 4.0,
        -0.0,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xff80_ffff),
        1e-45,
    ]);
    let check = |arithmetic| {
        for len in [0_usize, 1, 2, 15, 31, 32, 33, 97] {
            let mut out = vec![7; len.div_ceil(2)];
            round(&x[..len], &mut out, arithmetic);
            for (i, pair) in out.into_iter().enumerate() {
                let high = x[..len].get(2 * i + 1).copied().unwrap_or_default();
                assert_eq!(pair, super::pair(x[2 * i], high), "{len}, {i}");
            }
        }
        // A matrix and its transpose, `[depth, columns]` in a width.
        for (depth, columns, width) in [
            (1_usize, 1, 16),
            (2, 3, 16),
            (7, 13, 16),
            (5, 17, 32),
            (4, 16, 16),
        ] {
            let packed = |matrix: Matrix<'_, f32>| {
                let mut out = vec![7; depth.div_ceil(2) * width];
                matrix.pack_panel(0..depth, 0..columns, width, &mut out, arithmetic);
                out
            };
            let rows = packed(Matrix::new(&x[..depth * columns], depth, columns));
            let turned: Vec<f32> = (0..depth * columns)
                .map(|i| x[i % depth * columns + i / depth])
                .collect();
            let turned = packed(Matrix::new(&turned, columns, depth).transposed());
            assert_eq!(rows, turned, "{depth} × {columns}");
            for (i, found) in rows.into_iter().enumerate() {
                let (pair, column) = (i / width, i % width);
                let at = |k: usize| {
                    let inside = k < depth && column < columns;
                    if inside { x[k * columns + column] } else { 0.0 }
                };
                assert_eq!(found, super::pair(at(2 * pair), at(2 * pair + 1)));
            }
        }
    };
    arithmetics().for_each(check);
    each_level(|_| check(Bf16Arithmetic::Emulated));
}

/// `[rows, depth, columns]`
const SIZES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [1, 2, 1],
    [2, 1, 17],
    [3, 5, 7],
    [13, 33, 31],
    [7, 64, 48],
    [6, 25, 784],
    [64, 784, 128],
    [128, 64, 10],
    [70, 511, 65],
    [5, 513, 100],
    [200, 1025, 33],
    [33, 2, 200],
    [300, 3, 2],
];

/// The product by each lie of its factors, which are the same numbers.
fn products([rows, depth, width]: [usize; 3], arithmetic: Bf16Arithmetic) -> [Vec<f32>; 4] {
    let (a, b) = (singles(rows * depth, 3), singles(depth * width, 4));
    let turned = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
        (0..rows * columns)
            .map(|i| x[i % rows * columns + i / rows])
            .collect()
    };
    let (a_turned, b_turned) = (turned(&a, rows, depth), turned(&b, depth, width));
    let left = [
        Matrix::new(&a, rows, depth),
        Matrix::new(&a_turned, depth, rows).transposed(),
    ];
    let right = [
        Matrix::new(&b, depth, width),
        Matrix::new(&b_turned, width, depth).transposed(),
    ];
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(l, r)| {
        let mut out = vec![f32::NAN; rows * width];
        product(&mut out, &left[l], &right[r], false, arithmetic);
        out
    })
}

/// The bound of the sums of a depth, of what the magnitudes of the products add up to.
fn gamma(depth: usize) -> f64 {
    let v = f64::from(f32::EPSILON) / 2.0;
    let roundings = (depth + depth.div_ceil(product::BLOCK)) as f64 * v;
    roundings / (1.0 - roundings)
}

#[test]
fn products_are_within_the_bound() {
    for size in SIZES {
        let [rows, depth, width] = size;
        let (a, b) = (singles(rows * depth, 3), singles(depth * width, 4));
        let u = 1.0 / 256.0;
        // Of the rounded factors, whose products are exact.
        let of_rounded = gamma(depth);
        let factor = (1.0 + u) * (1.0 + u) * (1.0 + of_rounded) - 1.0;
        let check = |arithmetic| {
            let [out, others @ ..] = products(size, arithmetic);
            for other in others {
                assert_eq!(out, other, "{size:?}: the lie of a factor changes a bit");
            }
            let mut largest = 0.0_f64;
            for (at, out) in out.iter().enumerate() {
                let (i, j) = (at / width, at % width);
                let (mut exact, mut all, mut rounded_sum) = (0.0, 0.0, 0.0);
                for k in 0..depth {
                    let (a, b) = (a[i * depth + k], b[k * width + j]);
                    exact += f64::from(a) * f64::from(b);
                    all += (f64::from(a) * f64::from(b)).abs();
                    let [a, b] = [a, b].map(|x| f64::from(value(rounded(x) >> 16)));
                    rounded_sum += a * b;
                }
                let error = (f64::from(*out) - exact).abs();
                assert!(error <= factor * all, "{size:?}: {error} of {all}");
                let error = (f64::from(*out) - rounded_sum).abs();
                let most = of_rounded * all * (1.0 + u) * (1.0 + u);
                assert!(error <= most, "{size:?}: {error} above {most} in the sums");
                largest = largest.max((f64::from(*out) - exact).abs() / all);
            }
            // The factors are rounded indeed.
            assert!(depth < 5 || largest > 1e-4, "{size:?}: {largest}");
        };
        arithmetics().for_each(check);
        each_level(|_| check(Bf16Arithmetic::Emulated));
    }
}

/// Whether the instruction adds a pair as the emulation does, as far as that is known: on processors of AMD, and where the
/// emulation is all there is.
fn has_the_bits_of_the_emulation() -> bool {
    if Bf16Arithmetic::of_this_processor() == Bf16Arithmetic::Emulated {
        return true;
    }
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every processor of this architecture has the instruction.
        #[allow(unsafe_code, unused_unsafe)]
        let vendor = unsafe { core::arch::x86_64::__cpuid(0) };
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        name.as_flattened() == b"AuthenticAMD"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Within twice the bound of the sums on any processor; bit for bit, where nothing is subnormal, on those of which that is known.
#[test]
fn the_instruction_and_its_emulation_agree() {
    let bits = has_the_bits_of_the_emulation();
    if !bits {
        eprintln!("bits were not compared: how this processor adds a pair is not known");
    }
    for size in SIZES {
        let [rows, depth, width] = size;
        let [first, ..] = products(size, Bf16Arithmetic::of_this_processor());
        let magnitudes = |count, seed| -> Vec<f64> {
            let values = singles(count, seed).into_iter();
            values
                .map(|x| f64::from(value(rounded(x) >> 16)).abs())
                .collect()
        };
        let (a, b) = (magnitudes(rows * depth, 3), magnitudes(depth * width, 4));
        let check = |level| {
            let [other, ..] = products(size, Bf16Arithmetic::Emulated);
            for (at, (first, other)) in first.iter().zip(&other).enumerate() {
                let (i, j) = (at / width, at % width);
                let all: f64 = (0..depth)
                    .map(|k| a[i * depth + k] * b[k * width + j])
                    .sum();
                let apart = (f64::from(*first) - f64::from(*other)).abs();
                let most = 2.0 * gamma(depth) * all;
                assert!(apart <= most, "{size:?}, {level:?}: {apart} above {most}");
            }
            if bits {
                assert_eq!(first, other, "{size:?}, {level:?}");
            }
        };
        each_level(check);
    }
}

#[test]
fn sums_are_added_to_what_is_there() {
    for arithmetic in arithmetics() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.25]);
        let mut out = [10.0, 20.0];
        product(
            &mut out,
            &Matrix::new(&a, 2, 2),
            &Matrix::new(&b, 2, 1),
            true,
            arithmetic,
        );
        assert_eq!(out, [11.0, 22.5]);
        // Without a depth there is nothing to add.
        product(
            &mut out,
            &Matrix::new(&[], 2, 0),
            &Matrix::new(&[], 0, 1),
            true,
            arithmetic,
        );
        assert_eq!(out, [11.0, 22.5]);
        product(
            &mut out,
            &Matrix::new(&[], 2, 0),
            &Matrix::new(&[], 0, 1),
            false,
            arithmetic,
        );
        assert_eq!(out, [0.0; 2]);
    }
}

#[test]
fn what_is_not_finite_shows() {
    for arithmetic in arithmetics() {
        let run = |a: f32, b: f32| {
            let (left, right) = ([a, 1.0, 1.0], [b, 1.0, 1.0]);
            let mut out = [0.0];
            product(
                &mut out,
                &Matrix::new(&left, 1, 3),
                &Matrix::new(&right, 3, 1),
                false,
                arithmetic,
            );
            out[0]
        };
        assert!(run(f32::NAN, 1.0).is_nan());
        assert!(run(f32::INFINITY, 0.0).is_nan());
        assert_eq!(run(f32::MAX, 1.0), f32::INFINITY);
        assert_eq!(run(1e30, 1e30), f32::INFINITY);
        assert_eq!(run(1e-30, 1e-30), 2.0);
    }
}

#[test]
fn one_result_whatever_the_number_of_threads() {
    for arithmetic in arithmetics() {
        for size in [[300, 70, 200], [64, 784, 128], [40, 1100, 700]] {
            assert_one_result(|| products(size, arithmetic));
        }
    }
}
