//! Results, trust and health for an MQTT 3.1.1 broker, with Home Assistant's discovery if wanted.
//!
//! A thread of its own holds the connection; the thread that infers only leaves the newest result in a slot. What the
//! broker does not take in time is dropped: an old result is worth nothing.
//!
//! Topics, below `<prefix>/<camera>`: `status` (`online` or `offline`, retained, also the last will), `result` (a
//! record without the scores of all classes), `trust` and `health` (every ten seconds).

mod address;
mod link;
mod topics;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

pub use address::{MqttAddress, MqttAddressError};

use super::{FrameResult, Sink, SinkError};
use crate::monitor::Monitor;
use crate::slot::LatestSlot;
use link::Link;
use topics::{Topics, of_result};

/// Where and how results are published.
#[derive(Clone, Debug)]
pub struct MqttOptions {
    /// The broker.
    pub address: MqttAddress,
    /// First part of all topics.
    pub prefix: String,
    /// Second part of all topics: a name, or a source. What topics cannot hold is replaced in it.
    pub camera: String,
    /// Whether Home Assistant is told of the sensors.
    pub discovery: bool,
    /// Smallest time between two results of the same class. Another class is published at once.
    pub every: Duration,
    /// Hears, from the connection's thread, that the broker is lost or back.
    pub report: fn(&str),
}

impl MqttOptions {
    /// The usual options for the broker at `url`: prefix `comet-edge`, name `camera`, a result a second, no discovery,
    /// no reports.
    ///
    /// # Errors
    /// `url` is not `mqtt://[user:password@]host[:port]`.
    pub fn new(url: &str) -> Result<Self, MqttAddressError> {
        Ok(Self {
            address: url.parse()?,
            prefix: "comet-edge".into(),
            camera: "camera".into(),
            discovery: false,
            every: Duration::from_secs(1),
            report: |_| {},
        })
    }
}

/// Why nothing can be published. A broker that is not there is no error: it may come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// The prefix is no topic.
    #[error(
        "the MQTT topic prefix '{0}' is not valid: 1 to 200 bytes without +, #, spaces, or a / at either end"
    )]
    Prefix(String),
    /// The thread of the connection cannot be started.
    #[error("the thread of the MQTT connection cannot be started ({0})")]
    Thread(io::Error),
}

/// What the thread that infers and the thread of the connection share.
#[derive(Debug, Default)]
struct Shared {
    newest: LatestSlot<Vec<u8>>,
    stop: AtomicBool,
}

/// Publishes results; see the module's description for the topics.
#[derive(Debug)]
pub struct MqttSink {
    name: String,
    every: Duration,
    last: Option<(Instant, Option<String>)>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl MqttSink {
    /// Starts to connect; results are published once the broker answers.
    ///
    /// # Errors
    /// The prefix cannot be part of a topic, or the thread cannot be started.
    pub fn start(options: MqttOptions, monitor: Arc<Monitor>) -> Result<Self, MqttError> {
        let topics = Topics::new(&options.prefix, &options.camera)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(MqttError::Thread)?;
        let (name, every, shared) = (options.address.to_string(), options.every, Arc::<Shared>::default());
        let (link, network) = Link::new(&options, topics, monitor, Arc::clone(&shared));
        let work = move || {
            runtime.block_on(link.run(network));
            // Names are looked up on a thread of the runtime, which can take longer than a program may to end.
            runtime.shutdown_background();
        };
        let thread = Builder::new().name("mqtt".into()).spawn(work).map_err(MqttError::Thread)?;
        Ok(Self { name, every, last: None, shared, thread: Some(thread) })
    }

    /// Asks the thread to end, which takes a quarter of a second at most, and waits for it.
    fn end(&mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(panicked()),
        }
    }
}

fn panicked() -> io::Error {
    io::Error::other("the thread of the connection panicked; nothing more is published")
}

impl Sink for MqttSink {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(SinkError::new(&self.name, panicked()));
        }
        let class = &result.record.class;
        if self.last.as_ref().is_none_or(|(at, last)| at.elapsed() >= self.every || last != class) {
            let payload = of_result(&result.record);
            self.shared.newest.put(payload.map_err(|fault| SinkError::new(&self.name, fault.into()))?);
            self.last = Some((Instant::now(), class.clone()));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end().map_err(|fault| SinkError::new(&self.name, fault))
    }
}

impl Drop for MqttSink {
    fn drop(&mut self) {
        // A panic of the thread has been told on stderr.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::record::sample::result;

    #[test]
    fn a_broker_that_never_answers_holds_up_neither_results_nor_the_end() {
        // Takes the connection and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("mqtt://user:secret@{}", silent.local_addr().unwrap());
        let options = MqttOptions::new(&url).unwrap();
        assert!(!format!("{options:?}").contains("secret"), "{options:?}");
        let mut sink = MqttSink::start(options, Arc::default()).unwrap();
        let begun = Instant::now();
        for frame in 0..100 {
            sink.accept(&mut result("camera0", frame, [0.0, 2.0, 1.0])).unwrap();
        }
        sink.finish().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let late = sink.accept(&mut result("camera0", 0, [0.0; 3])).unwrap_err().to_string();
        assert!(late.contains("mqtt://") && !late.contains("secret"), "{late}");
    }

    #[test]
    fn results_of_one_class_are_spaced_and_another_class_is_not() {
        let options = MqttOptions {
            every: Duration::from_secs(3600),
            ..MqttOptions::new("mqtt://127.0.0.1:1").unwrap()
        };
        let mut sink = MqttSink::start(options, Arc::default()).unwrap();
        let mut last = Vec::new();
        for logits in [[0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0], [0.0, f32::NAN, 1.0]] {
            sink.accept(&mut result("camera0", 0, logits)).unwrap();
            last.push(sink.last.clone().unwrap());
        }
        assert_eq!(last[0], last[1]);
        let classes: Vec<_> = last.iter().map(|(_, class)| class.as_deref()).collect();
        assert_eq!(classes, [Some("two"), Some("two"), Some("three"), None]);
    }

    #[test]
    fn a_prefix_that_is_no_topic_is_refused() {
        let long = "x".repeat(201);
        for prefix in ["", "a/#", "+", "/a", "a/", "a b", long.as_str()] {
            let usual = MqttOptions::new("mqtt://127.0.0.1").unwrap();
            let options = MqttOptions { prefix: prefix.into(), ..usual };
            assert!(MqttSink::start(options, Arc::default()).is_err(), "{prefix}");
        }
    }
}
