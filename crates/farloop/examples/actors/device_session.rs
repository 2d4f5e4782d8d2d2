//! An actor per device: it is there when somebody calls it, asleep when nobody does, and remembers.

use farloop::actor;
use farloop::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(crate) struct Device {
    id: String,
    readings: Vec<f64>,
}

#[farloop::actor(name = "examples.Device", on_demand, idle = "300ms", snapshot)]
impl Device {
    pub async fn new(name: String) -> Self {
        println!("{name} is seen for the first time");
        Device { id: name, readings: Vec::new() }
    }

    /// Whoever has the answer knows that the reading is kept, whatever happens to this worker.
    pub async fn report(&mut self, reading: f64) -> farloop::Result<usize> {
        self.readings.push(reading);
        actor::save_with_reply(&*self)?;
        Ok(self.readings.len())
    }

    pub async fn average(&self) -> Option<f64> {
        let sum: f64 = self.readings.iter().sum();
        (!self.readings.is_empty()).then(|| sum / self.readings.len() as f64)
    }

    async fn on_restart(&mut self) {
        println!("{} wakes up, with {} readings", self.id, self.readings.len());
    }
}

pub(crate) async fn run() -> farloop::Result<()> {
    let boiler = Device::at("boiler"); // asks nobody: the first call makes it
    for reading in [61.5, 62.0] {
        println!("reading {} of the boiler", boiler.report(reading).await?);
    }
    let again = boiler.report(70.0).remind("hourly", Duration::from_millis(600)).start()?; // made without us
    println!("nobody calls for a second");
    farloop::sleep(Duration::from_secs(1)).await?;
    again.await?;
    println!("average {:.2}", boiler.average().await?.unwrap_or_default());
    Ok(())
}
