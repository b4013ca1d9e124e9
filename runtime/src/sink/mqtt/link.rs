//! The connection to a broker: made, kept, made again, and ended in order.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, LastWill, Outgoing, Packet, Publish, QoS};
use serde::Serialize;
use tokio::time::sleep;

use super::options::MqttOptions;
use super::topics::{Topics, of_health};
use crate::backoff::Backoff;
use crate::monitor::Monitor;
use crate::slot::{LatestSlot, Taken};

/// Between two looks at the newest result and at the flag that ends the thread.
const TICK: Duration = Duration::from_millis(50);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Between two reports of trust and health.
const REPORTS: Duration = Duration::from_secs(10);
/// First and longest time between two tries to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// The broker declares this program dead after one and a half times this long without a message.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that wait to be written. A connection begins with nine.
const QUEUE: usize = 32;
/// Bytes of a message; a broker has no business with larger ones.
const LARGEST: usize = 64 * 1024;

/// What the sink and the thread of the connection share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) newest: LatestSlot<Vec<u8>>,
    pub(super) stop: AtomicBool,
}

/// The state of the connection's thread.
pub(super) struct Link {
    client: AsyncClient,
    topics: Topics,
    monitor: Arc<Monitor>,
    shared: Arc<Shared>,
    broker: String,
    discovery: bool,
    report: fn(&str),
    connected: bool,
    /// Whether the present outage was reported.
    reported: bool,
    retry: Backoff,
    /// When trust and health are published next.
    due: Instant,
    /// When the farewell is abandoned.
    leaving: Option<Instant>,
}

impl Link {
    /// A link and the event loop that it is to be run with; nothing is connected yet.
    pub(super) fn new(
        options: &MqttOptions,
        topics: Topics,
        monitor: Arc<Monitor>,
        shared: Arc<Shared>,
    ) -> (Self, EventLoop) {
        let address = &options.address;
        let mut connection = rumqttc::MqttOptions::new(client_id(), address.host.as_str(), address.port);
        connection.set_keep_alive(KEEP_ALIVE);
        connection.set_max_packet_size(LARGEST, 2 * LARGEST);
        connection.set_last_will(LastWill::new(topics.of("status"), "offline", QoS::AtLeastOnce, true));
        if let Some((user, password)) = &address.login {
            connection.set_credentials(user.as_str(), password.as_str());
        }
        let (client, network) = AsyncClient::new(connection, QUEUE);
        let link = Self {
            client,
            topics,
            monitor,
            shared,
            broker: address.to_string(),
            discovery: options.discovery,
            report: options.report,
            connected: false,
            reported: false,
            retry: Backoff::new(RETRY.0, RETRY.1).with_jitter(random()),
            due: Instant::now(),
            leaving: None,
        };
        (link, network)
    }

    /// Holds the connection until the run ends.
    pub(super) async fn run(mut self, mut network: EventLoop) {
        loop {
            let outcome = {
                // One poll is carried through all ticks: dropping it would drop a half-made connection.
                let mut poll = pin!(network.poll());
                loop {
                    tokio::select! {
                        outcome = poll.as_mut() => break outcome,
                        () = sleep(TICK) => {
                            if self.tick() {
                                return;
                            }
                        }
                    }
                }
            };
            let ended = match outcome {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    self.greet();
                    false
                }
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    self.contradict(&message);
                    false
                }
                // A broker may accept a connection and close it at what is not allowed: only now is it known to last.
                Ok(Event::Incoming(Packet::SubAck(_))) => {
                    self.retry.reset();
                    false
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => true,
                Ok(_) => false,
                Err(fault) => self.lost(&fault).await,
            };
            if ended {
                return;
            }
        }
    }

    /// Publishes what there is; `true` if the thread shall end.
    fn tick(&mut self) -> bool {
        if let Some(deadline) = self.leaving {
            return Instant::now() >= deadline;
        }
        let stopped = self.stopped();
        if self.connected {
            if let Taken::Value(result) = self.shared.newest.take(Duration::ZERO) {
                self.send(self.topics.of("result"), QoS::AtMostOnce, false, result);
            }
            if Instant::now() >= self.due {
                self.publish_state();
            }
            if stopped {
                self.leave();
            }
        }
        stopped && !self.connected
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn greet(&mut self) {
        self.connected = true;
        if std::mem::take(&mut self.reported) {
            (self.report)(&format!("{}: connected again", self.broker));
        }
        self.be_online();
        // Without the subscription, which a broker may refuse, a false 'offline' is not contradicted.
        let _ = self.client.try_subscribe(self.topics.of("status"), QoS::AtLeastOnce);
        if self.discovery {
            for (topic, description) in self.topics.discovery(&self.monitor.snapshot()) {
                self.send_json(topic, QoS::AtLeastOnce, true, &description);
            }
        }
        self.publish_state();
    }

    fn publish_state(&mut self) {
        let snapshot = self.monitor.snapshot();
        self.send_json(self.topics.of("trust"), QoS::AtMostOnce, false, &snapshot.trust);
        self.send_json(self.topics.of("health"), QoS::AtMostOnce, false, &of_health(&snapshot));
        self.due = Instant::now() + REPORTS;
    }

    fn be_online(&self) {
        self.send(self.topics.of("status"), QoS::AtLeastOnce, true, "online");
    }

    /// This run was declared `offline`: by an earlier run of the same name whose last will came late, or by another one
    /// that ended. The topic is retained, so it would stay wrong for good.
    fn contradict(&self, message: &Publish) {
        let offline = message.topic == self.topics.of("status") && message.payload[..] == b"offline"[..];
        if offline && self.leaving.is_none() && !self.stopped() {
            self.be_online();
        }
    }

    /// Without a farewell the broker publishes the last will, which says the same.
    fn leave(&mut self) {
        self.leaving = Some(Instant::now() + FAREWELL);
        if self.send(self.topics.of("status"), QoS::AtLeastOnce, true, "offline") {
            let _ = self.client.try_disconnect();
        }
    }

    fn send_json(&self, topic: String, qos: QoS, retain: bool, value: &impl Serialize) {
        if let Ok(payload) = serde_json::to_vec(value) {
            self.send(topic, qos, retain, payload);
        }
    }

    /// `false` if the message is too large, or too many wait: it is dropped then.
    fn send(&self, topic: String, qos: QoS, retain: bool, payload: impl Into<Vec<u8>>) -> bool {
        let payload = payload.into();
        payload.len() <= LARGEST && self.client.try_publish(topic, qos, retain, payload).is_ok()
    }

    /// Reports the fault once an outage and waits before the next try; `true` if the thread shall end.
    async fn lost(&mut self, fault: &ConnectionError) -> bool {
        self.connected = false;
        if self.leaving.is_some() {
            return true;
        }
        if !std::mem::replace(&mut self.reported, true) {
            let hint = "is a broker there, and are user and password right?";
            (self.report)(&format!("{}: {fault}; trying again ({hint})", self.broker));
        }
        let until = Instant::now() + self.retry.next();
        while Instant::now() < until {
            if self.stopped() {
                return true;
            }
            sleep(TICK).await;
        }
        self.stopped()
    }
}

/// Brokers throw out the older of two clients with one name, so every run has its own.
fn client_id() -> String {
    format!("comet-edge-{:08x}", random() >> 32)
}

/// Another number in every process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
