//! Timing, the machine's peak and arguments, for the benches.
#![allow(unreachable_pub, dead_code)] // Not every bench uses all of it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use onecycle_kernels::Isa;

/// Best and median seconds of `work`, repeated until `budget` is used up and at least five times.
pub fn time(budget: Duration, mut work: impl FnMut()) -> (f64, f64) {
    work();
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < budget || times.len() < 5 {
        let one = Instant::now();
        work();
        times.push(one.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Best and median GFLOP/s of multiply-adds on twelve registers, on one thread.
pub fn peak(isa: Isa) -> (f64, f64) {
    const ROUNDS: usize = 4000;
    let (lanes, run): (usize, fn()) = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (8, || {
            // SAFETY: the caller checked `is_available`.
            unsafe { peak_avx2(ROUNDS) }
        }),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (16, || {
            // SAFETY: the caller checked `is_available`.
            unsafe { peak_avx512(ROUNDS) }
        }),
        _ => return (f64::NAN, f64::NAN),
    };
    let (best, median) = time(Duration::from_millis(300), run);
    let rate = |seconds: f64| (ROUNDS * 12 * lanes * 2) as f64 / seconds / 1e9;
    (rate(best), rate(median))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn peak_avx2(rounds: usize) {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_set1_ps(0.5); 12];
    let (x, y) = (
        _mm256_set1_ps(black_box(0.99)),
        _mm256_set1_ps(black_box(0.01)),
    );
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn peak_avx512(rounds: usize) {
    use std::arch::x86_64::*;
    let mut sums = [_mm512_set1_ps(0.5); 12];
    let (x, y) = (
        _mm512_set1_ps(black_box(0.99)),
        _mm512_set1_ps(black_box(0.01)),
    );
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, x, y);
        }
    }
    black_box(sums);
}

/// The value after `--name`.
pub fn argument(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    arguments
        .iter()
        .position(|a| a == name)
        .and_then(|i| arguments.get(i + 1))
        .cloned()
}

/// The number after `--name`.
pub fn number(name: &str, default: usize) -> usize {
    argument(name).map_or(default, |value| value.parse().unwrap())
}

/// The instruction set after `--isa`; by default the machine's best.
pub fn instruction_set() -> Isa {
    let isa = argument("--isa").map_or(Isa::detect(), |name| {
        Isa::ALL
            .into_iter()
            .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&name))
            .unwrap()
    });
    assert!(isa.is_available(), "this machine has no {isa:?}");
    isa
}
