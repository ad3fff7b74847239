//! Placeholder until the loader stands.
fn main() {}
