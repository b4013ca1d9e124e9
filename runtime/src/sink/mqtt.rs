//! Results, trust and health for an MQTT 3.1.1 broker, with Home Assistant's discovery if wanted.
//!
//! A thread of its own holds the connection; the thread that runs the model only leaves the newest result in a slot.
//! What the broker does not take in time is dropped: an old result is worth nothing.
//!
//! Topics, below `<prefix>/<camera>`: `status` (`online` or `offline`, retained, also the last will), `result` (a
//! record without the scores of all classes), `trust` and `health` (every ten seconds). An `offline` that is
//! published in place of this run, such as by the broker about an earlier run of the same name, is contradicted with
//! `online`.

mod address;
mod link;
mod machine;
mod options;
mod publisher;
mod topics;

pub use address::{MqttAddress, MqttAddressError};
pub use options::{MqttError, MqttOptions};
pub use publisher::MqttSink;
