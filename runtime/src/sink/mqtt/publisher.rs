//! The sink: leaves the newest result for the connection's thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use comet_engine::prediction::FrameResult;

use super::link::{Link, Shared};
use super::options::{MqttError, MqttOptions};
use super::topics::{Topics, of_result};
use crate::monitor::Monitor;
use crate::sink::ending::{Ending, join_until};
use crate::sink::interface::{Sink, SinkError};

/// How long the thread may take to end: it says farewell for one second at most.
const ENDING: Duration = Duration::from_secs(2);

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
    /// Starts to connect; results are published once the broker accepts the connection.
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

    /// Asks the thread to end and waits for it.
    fn end(&mut self) -> io::Result<()> {
        self.begin_finish();
        match self.thread.take().map(|thread| join_until(thread, Instant::now() + ENDING)) {
            None | Some(Ending::Done(())) => Ok(()),
            Some(Ending::Panicked) => Err(panicked()),
            Some(Ending::Unfinished) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the connection did not end in time; the broker publishes 'offline' itself",
            )),
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

    fn begin_finish(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end().map_err(|fault| SinkError::new(&self.name, fault))
    }
}

impl Drop for MqttSink {
    fn drop(&mut self) {
        // A panic of the thread was reported on stderr.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    #[test]
    fn a_broker_that_never_replies_holds_up_neither_results_nor_the_end() {
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
    fn a_prefix_that_cannot_be_a_topic_is_refused() {
        let long = "x".repeat(201);
        for prefix in ["", "a/#", "+", "/a", "a/", "a b", long.as_str()] {
            let usual = MqttOptions::new("mqtt://127.0.0.1").unwrap();
            let options = MqttOptions { prefix: prefix.into(), ..usual };
            assert!(MqttSink::start(options, Arc::default()).is_err(), "{prefix}");
        }
    }
}
