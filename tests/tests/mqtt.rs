//! `comet-edge run --mqtt`: what a broker hears, and that no broker delays a run.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use comet_tests::program::{Program, comet_edge};
use comet_tests::shipped_model;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// What a broker hears.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Connect { will: Message, user: String, password: String },
    Publish(Message),
    Subscribe(String),
    Disconnect,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    topic: String,
    payload: String,
    retained: bool,
}

/// A broker that takes one client at a time, acknowledges what it must, and remembers everything.
struct Broker {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// What a test lets the broker publish; emptied once that is done.
    says: Arc<Mutex<Vec<Message>>>,
    /// Set by a test to break the connection off; cleared once that is done.
    cut: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (heard, cut, ended) =
            (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let says = Arc::<Mutex<Vec<Message>>>::default();
        let (hears, cuts, ends) = (Arc::clone(&heard), Arc::clone(&cut), Arc::clone(&ended));
        let to_say = Arc::clone(&says);
        let work = move || {
            while !ends.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        // A client that breaks off may come again.
                        let _ = serve(client, &hears, &to_say, &cuts, &ends);
                    }
                    Err(_) => sleep(Duration::from_millis(5)),
                }
            }
        };
        let thread = Some(Builder::new().name("broker".into()).spawn(work)?);
        Ok(Self { port, heard, says, cut, ended, thread })
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything that a client said before it disconnected, which may still be on its way.
    fn heard_all(&self) -> Vec<Heard> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.heard().last() != Some(&Heard::Disconnect) && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        self.heard()
    }

    fn connections(&self) -> usize {
        self.heard().iter().filter(|heard| matches!(heard, Heard::Connect { .. })).count()
    }

    /// What was published at topics with this end, since the last connection.
    fn published(&self, end: &str) -> Vec<Message> {
        let heard = self.heard();
        let last = heard.iter().rposition(|heard| matches!(heard, Heard::Connect { .. })).unwrap_or(0);
        let messages = heard.into_iter().skip(last).filter_map(|heard| match heard {
            Heard::Publish(message) if message.topic.ends_with(end) => Some(message),
            _ => None,
        });
        messages.collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut client: TcpStream,
    heard: &Mutex<Vec<Heard>>,
    says: &Mutex<Vec<Message>>,
    cut: &AtomicBool,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut bytes = Vec::new();
    loop {
        if cut.swap(false, Ordering::Relaxed) || ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        for message in says.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            client.write_all(&publish(&message))?;
        }
        let mut chunk = [0; 4096];
        match client.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        }
        while let Some((kind, body)) = take_packet(&mut bytes) {
            let (event, reply) = understand(kind, &body);
            if let Some(event) = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
            client.write_all(&reply)?;
        }
    }
}

/// The first byte and the body of a packet, once it is whole.
fn take_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (mut length, mut shift, mut at) = (0usize, 0, 1);
    loop {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << shift;
        (shift, at) = (shift + 7, at + 1);
        if byte & 0x80 == 0 {
            break;
        }
    }
    bytes.get(at..at + length)?;
    let packet: Vec<u8> = bytes.drain(..at + length).collect();
    Some((packet[0], packet[at..].to_vec()))
}

/// What a packet of MQTT 3.1.1 says, and the bytes to reply with.
fn understand(kind: u8, body: &[u8]) -> (Option<Heard>, Vec<u8>) {
    let mut rest = body;
    match kind >> 4 {
        1 => {
            assert_eq!(text(&mut rest), "MQTT");
            let (level, flags) = (rest[0], rest[1]);
            assert_eq!(level, 4, "MQTT 3.1.1");
            assert_eq!(flags & 0b1100_0100, 0b1100_0100, "a will, a user and a password");
            rest = &rest[4..];
            assert!(text(&mut rest).starts_with("comet-edge-"));
            let retained = flags & 0x20 != 0;
            let will = Message { topic: text(&mut rest), payload: text(&mut rest), retained };
            let (user, password) = (text(&mut rest), text(&mut rest));
            (Some(Heard::Connect { will, user, password }), vec![0x20, 2, 0, 0])
        }
        3 => {
            let topic = text(&mut rest);
            let mut reply = Vec::new();
            if kind & 0b110 != 0 {
                reply = vec![0x40, 2, rest[0], rest[1]];
                rest = &rest[2..];
            }
            let payload = String::from_utf8_lossy(rest).into_owned();
            (Some(Heard::Publish(Message { topic, payload, retained: kind & 1 != 0 })), reply)
        }
        8 => {
            let number = [rest[0], rest[1]];
            rest = &rest[2..];
            (Some(Heard::Subscribe(text(&mut rest))), vec![0x90, 3, number[0], number[1], 1])
        }
        12 => (None, vec![0xd0, 0]),
        14 => (Some(Heard::Disconnect), Vec::new()),
        other => unreachable!("a packet of type {other}"),
    }
}

/// A packet that brings a message to a subscriber; the topic and the payload are short.
fn publish(message: &Message) -> Vec<u8> {
    let Message { topic, payload, retained } = message;
    let length = 2 + topic.len() + payload.len();
    assert!(length < 128, "{message:?}");
    let mut packet = vec![0x30 | u8::from(*retained), length as u8, 0, topic.len() as u8];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(payload.as_bytes());
    packet
}

/// A text with its length in front of it.
fn text(rest: &mut &[u8]) -> String {
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let text = String::from_utf8_lossy(&rest[2..2 + length]).into_owned();
    *rest = &rest[2 + length..];
    text
}

/// A live scene of 20 frames a second that is published.
fn run(port: u16) -> anyhow::Result<Program> {
    let program = comet_edge("run --source synthetic:64x64,20,1 --live --model")?;
    let program = program.arg(shipped_model("hands.int8.onnx")).limit(LIMIT);
    Ok(program.arg("--mqtt").arg(format!("mqtt://camera:se%40cret@127.0.0.1:{port}")))
}

fn json(message: &Message) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&message.payload)?)
}

#[test]
fn a_broker_hears_the_state_the_sensors_the_results_and_the_end() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut running =
        run(broker.port)?.words("--mqtt-topic site/comet --camera-name").arg("front door").spawn()?;
    running.wait_until("two results", |_| broker.published("/result").len() >= 2)?;
    let begun = Instant::now();
    running.signal("TERM")?;
    let ended = running.finish()?.succeeds()?;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!ended.stderr.contains("cret"), "{}", ended.stderr);

    let heard = broker.heard_all();
    let status = "site/comet/front-door/status".to_owned();
    let said = |payload: &str| Message { topic: status.clone(), payload: payload.into(), retained: true };
    let user = "camera".to_owned();
    let connect = Heard::Connect { will: said("offline"), user, password: "se@cret".into() };
    assert_eq!(heard.first(), Some(&connect));
    assert_eq!(broker.published("/status"), [said("online"), said("offline")]);
    assert_eq!(heard.last(), Some(&Heard::Disconnect), "the last will is not needed");

    let sensors = broker.published("/config");
    assert_eq!(sensors.len(), 5);
    for sensor in &sensors {
        assert!(sensor.retained && sensor.topic.starts_with("homeassistant/"), "{}", sensor.topic);
        let about = json(sensor)?;
        assert_eq!(about["availability_topic"], status.as_str());
        assert!(
            about["state_topic"].as_str().is_some_and(|topic| topic.starts_with("site/comet/front-door/"))
        );
    }
    for result in broker.published("/result") {
        let record = json(&result)?;
        assert!(!result.retained && record["class"].is_string() && record.get("scores").is_none());
    }
    let trust = broker.published("/trust");
    assert!(trust.first().map(json).transpose()?.is_some_and(|trust| trust["alarms"].is_array()));
    Ok(())
}

#[test]
fn a_broker_that_is_lost_is_found_again_and_reported_once() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut running = run(broker.port)?.words("--no-discovery").spawn()?;
    running.wait_until("a result", |_| !broker.published("/result").is_empty())?;
    broker.cut.store(true, Ordering::Relaxed);
    running.wait_until("a second connection", |_| broker.connections() == 2)?;
    running.wait_until("a result on it", |_| !broker.published("/result").is_empty())?;
    assert_eq!(broker.published("/status").first().map(|status| status.payload.as_str()), Some("online"));
    assert!(broker.published("/config").is_empty(), "no sensors were asked for");
    running.signal("TERM")?;
    let ended = running.finish()?.succeeds()?.says(&["trying again", "connected again"])?;
    assert_eq!(ended.stderr.matches("trying again").count(), 1, "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_run_that_is_declared_offline_by_another_says_that_it_is_online() -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut running = run(broker.port)?.words("--mqtt-topic site --camera-name door").spawn()?;
    let topic = "site/door/status";
    let subscribed = |broker: &Broker| broker.heard().contains(&Heard::Subscribe(topic.into()));
    running.wait_until("a subscription to its own state", |_| subscribed(&broker))?;
    let online = || broker.published("/status").iter().filter(|status| status.payload == "online").count();
    running.wait_until("its state", |_| online() == 1)?;
    // The last will of an earlier run of the same name, and messages that it has to ignore.
    for (topic, payload) in [("site/door/result", "offline"), (topic, "online"), (topic, "offline")] {
        let message = Message { topic: topic.into(), payload: payload.into(), retained: false };
        broker.says.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
    running.wait_until("its state again", |_| online() == 2)?;
    assert!(broker.published("/status").iter().all(|status| status.retained && status.payload == "online"));
    running.signal("TERM")?;
    running.finish()?.succeeds()?;
    broker.heard_all();
    assert_eq!(online(), 2, "its own last message is not contradicted");
    Ok(())
}

#[test]
fn names_differ_by_source_and_stay_the_same_after_a_restart() -> anyhow::Result<()> {
    let name_of = |scene: &str| -> anyhow::Result<(String, Vec<String>)> {
        let broker = Broker::start()?;
        let program = comet_edge("run --live --model")?.arg(shipped_model("hands.int8.onnx")).limit(LIMIT);
        let program = program.arg("--source").arg(scene);
        let url = format!("mqtt://camera:secret@127.0.0.1:{}", broker.port);
        let mut running = program.arg("--mqtt").arg(url).spawn()?;
        running.wait_until("the sensors", |_| broker.published("/config").len() == 5)?;
        running.signal("TERM")?;
        running.finish()?.succeeds()?;
        let status = broker.published("/status").first().map(|status| status.topic.clone());
        let sensors = broker.published("/config");
        let ids = sensors.iter().map(|sensor| Ok(json(sensor)?["unique_id"].to_string()));
        Ok((status.unwrap_or_default(), ids.collect::<anyhow::Result<_>>()?))
    };
    let (one, other) = (name_of("synthetic:64x64,20,1")?, name_of("synthetic:64x64,20,2")?);
    assert_ne!(one.0, other.0);
    assert!(one.1.iter().all(|id| !other.1.contains(id)), "{one:?} {other:?}");
    assert!(one.0.starts_with("comet-edge/") && one.0.contains("synthetic"), "{}", one.0);
    assert_eq!(name_of("synthetic:64x64,20,1")?, one);
    Ok(())
}

#[test]
fn a_missing_broker_does_not_delay_a_run() -> anyhow::Result<()> {
    // No process listens on a port that was just released.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let ended = run(port)?.words("--frames 5").run()?.succeeds()?.says(&["127.0.0.1", "trying again"])?;
    assert_eq!(ended.json_lines()?.len(), 5);
    assert!(!ended.stderr.contains("cret"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn an_address_that_cannot_be_used_is_refused_without_showing_the_password() -> anyhow::Result<()> {
    for (address, said) in [
        ("mqtts://camera:secret@broker", "without TLS"),
        ("broker:1883", "mqtt://"),
        ("mqtt://camera:secret@broker:99999", "port"),
        ("mqtt://camera:secret@", "host"),
    ] {
        let program = comet_edge("run --source synthetic --frames 1 --mqtt")?.arg(address);
        let ended = program.run()?.ends_with(2)?.says(&[said])?;
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    Ok(())
}
