//! `asyncio.sleep(float('nan'))`.
fn main() {
    drop(farloop::sleep(f64::NAN));
}
