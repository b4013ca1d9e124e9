//! Where and how results are published.

use std::io;
use std::time::Duration;

use super::address::{MqttAddress, MqttAddressError};
use super::machine::Machine;

/// Where and how results are published.
#[derive(Clone, Debug)]
pub struct MqttOptions {
    /// The broker.
    pub address: MqttAddress,
    /// First part of all topics.
    pub prefix: String,
    /// Second part of all topics, and the device's name at Home Assistant. It must differ from those of all other
    /// runs at the broker; see [`camera_name`](Self::camera_name). What topics cannot hold is replaced in it.
    pub camera: String,
    /// Whether the sensors are announced to Home Assistant.
    pub discovery: bool,
    /// Smallest time between two results of the same class. Another class is published at once.
    pub every: Duration,
    /// Called, from the connection's thread, when the broker is lost or found again.
    pub report: fn(&str),
}

impl MqttOptions {
    /// The usual options for the broker at `url`: prefix `comet-edge`, the name of this machine, a result a second, no
    /// discovery, no reports.
    ///
    /// # Errors
    /// `url` is not `mqtt://[user:password@]host[:port]`.
    pub fn new(url: &str) -> Result<Self, MqttAddressError> {
        Ok(Self {
            address: url.parse()?,
            prefix: "comet-edge".into(),
            camera: Self::camera_name("camera", ""),
            discovery: false,
            every: Duration::from_secs(1),
            report: |_| {},
        })
    }

    /// A name that differs by machine and by source and stays the same after a restart:
    /// `<host>-<short>-<six digits>`, such as `raspberrypi-camera0-3fa9c1`.
    ///
    /// `short` names the source; `identity` distinguishes it from others of the same name, such as an
    /// address. Only a part of its hash is in the name.
    pub fn camera_name(short: &str, identity: &str) -> String {
        Machine::this().camera_name(short, identity)
    }
}

/// Why nothing can be published. A broker that is not there is not an error: it may come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// The prefix cannot be part of a topic.
    #[error(
        "the MQTT topic prefix '{0}' is not valid: 1 to 200 bytes without +, #, spaces, or a / at either end"
    )]
    Prefix(String),
    /// The thread of the connection cannot be started.
    #[error("the thread of the MQTT connection cannot be started ({0})")]
    Thread(io::Error),
}
