//! One seed for a whole world, and a stream of random numbers for each thing in it: a thing that draws once more does not
//! change what the others draw.

use fastrand::Rng;

/// The stream of the thing called `name` in the world of `seed`. The hash is FNV-1a, which will be the same for ever, so
/// that a seed written down today gives the same world with the same code.
pub fn stream(seed: u64, name: &str) -> Rng {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    Rng::with_seed(hash)
}

/// Whether something of this `probability`, from 0 to 1, happens now.
pub fn chance(rng: &mut Rng, probability: f64) -> bool {
    rng.f64() < probability
}

/// One of `choices`, each as likely as the others.
pub fn pick<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())].clone()
}
