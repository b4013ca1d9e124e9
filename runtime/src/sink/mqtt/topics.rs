//! What is published where: topics, payloads, and Home Assistant's description of them.

use serde_json::{Value, json};

use comet_engine::prediction::Record;

use super::options::MqttError;
use crate::monitor::Snapshot;

/// Longest name of a camera in topics.
const LONGEST_NAME: usize = 64;
/// Longest prefix.
const LONGEST_PREFIX: usize = 200;
/// Likeliest classes in a result.
const MOST_CLASSES: usize = 10;

/// The topics of one camera.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    /// `<prefix>/<camera>`.
    base: String,
    camera: String,
    /// What Home Assistant knows the camera by: the base, in the letters that it takes.
    node: String,
}

impl Topics {
    /// Topics below `prefix`, for a camera or source of this name.
    pub(super) fn new(prefix: &str, camera: &str) -> Result<Self, MqttError> {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || "+#".contains(c);
        let bad = prefix.is_empty() || prefix.len() > LONGEST_PREFIX || prefix.contains(forbidden);
        if bad || prefix.starts_with('/') || prefix.ends_with('/') {
            return Err(MqttError::Prefix(prefix.to_owned()));
        }
        let camera = harmless(camera, LONGEST_NAME);
        let node = harmless(&format!("{prefix}-{camera}"), LONGEST_PREFIX + 1 + LONGEST_NAME);
        Ok(Self { base: format!("{prefix}/{camera}"), camera, node })
    }

    pub(super) fn of(&self, what: &str) -> String {
        format!("{}/{what}", self.base)
    }

    /// Home Assistant's topics with their descriptions of the sensors.
    pub(super) fn discovery(&self, snapshot: &Snapshot) -> Vec<(String, Value)> {
        SENSORS.iter().map(|sensor| (self.place(sensor), self.description(sensor, snapshot))).collect()
    }

    fn place(&self, sensor: &Sensor) -> String {
        format!("homeassistant/{}/{}/{}/config", sensor.component, self.node, sensor.key)
    }

    fn description(&self, sensor: &Sensor, snapshot: &Snapshot) -> Value {
        let mut description = json!({
            "name": sensor.name,
            "unique_id": format!("{}-{}", self.node, sensor.key),
            "state_topic": self.of(sensor.topic),
            "value_template": sensor.template,
            "availability_topic": self.of("status"),
            "device": {
                "identifiers": [self.node],
                "name": format!("comet-edge {}", self.camera),
                "manufacturer": "comet-edge",
                "model": snapshot.model.name,
                "sw_version": snapshot.version,
            },
        });
        let optional = [("unit_of_measurement", sensor.unit), ("device_class", sensor.class)];
        if let Some(fields) = description.as_object_mut() {
            for (key, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
                fields.insert(key.to_owned(), value.into());
            }
        }
        description
    }
}

struct Sensor {
    component: &'static str,
    key: &'static str,
    name: &'static str,
    topic: &'static str,
    /// Gives `None` where there is no number: Home Assistant then shows the sensor as unknown.
    template: &'static str,
    unit: &'static str,
    class: &'static str,
}

const SENSORS: [Sensor; 5] = [
    Sensor {
        component: "sensor",
        key: "class",
        name: "Class",
        topic: "result",
        template: "{{ value_json.class }}",
        unit: "",
        class: "",
    },
    Sensor {
        component: "sensor",
        key: "probability",
        name: "Probability",
        topic: "result",
        template: "{{ None if value_json.probability is none else (value_json.probability * 100) | round(1) }}",
        unit: "%",
        class: "",
    },
    Sensor {
        component: "sensor",
        key: "fps",
        name: "Predictions a second",
        topic: "health",
        template: "{{ value_json.fps | round(1) }}",
        unit: "1/s",
        class: "",
    },
    Sensor {
        component: "sensor",
        key: "temperature",
        name: "Temperature",
        topic: "health",
        template: "{{ value_json.celsius }}",
        unit: "°C",
        class: "temperature",
    },
    Sensor {
        component: "binary_sensor",
        key: "alarm",
        name: "Explanation alarm",
        topic: "trust",
        template: "{{ 'ON' if value_json.alarms else 'OFF' }}",
        unit: "",
        class: "problem",
    },
];

/// A record without what only files need: the scores of all classes (the likeliest stay) and the names of files.
pub(super) fn of_result(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(record)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|key, _| key != "scores" && !key.ends_with("_file"));
        if let Some(top) = fields.get_mut("top").and_then(Value::as_array_mut) {
            top.truncate(MOST_CLASSES);
        }
    }
    serde_json::to_vec(&value)
}

/// How the run does, in a few numbers.
pub(super) fn of_health(snapshot: &Snapshot) -> Value {
    let thermal = snapshot.thermal.as_ref();
    json!({
        "signal": snapshot.source.signal,
        "fault": snapshot.source.fault,
        "fps": snapshot.fps,
        "inference_ms": snapshot.inference_ms.p50,
        "latency_ms": snapshot.latency_ms.p50,
        "celsius": thermal.and_then(|thermal| thermal.celsius),
        "throttled": thermal.is_some_and(|thermal| thermal.throttled),
        "step": thermal.map_or(0, |thermal| thermal.step),
        "uptime_s": snapshot.uptime_s,
        "model": snapshot.model.name,
        "sha256": snapshot.model.sha256,
    })
}

/// A name in the letters that topics and Home Assistant take; `camera` if nothing is left of it.
fn harmless(name: &str, longest: usize) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let letters: String = name.chars().map(letter).collect();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    // Every letter is one byte here.
    name.truncate(longest);
    if name.is_empty() { "camera".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Monitor;
    use crate::sink::sample::result;

    #[test]
    fn names_of_sources_become_one_level_of_a_topic() {
        let base = |source: &str| Topics::new("site/comet", source).unwrap().base;
        assert_eq!(base("camera0"), "site/comet/camera0");
        assert_eq!(base("/dev/v4l/by-id/usb-Größe#1+"), "site/comet/dev-v4l-by-id-usb-Gr-e-1");
        assert_eq!(base("///"), "site/comet/camera");
        assert!(base(&"x".repeat(1000)).len() < 100);
    }

    #[test]
    fn a_result_has_no_list_of_all_scores_and_no_files() {
        let mut sample = result("camera0", 7, [0.0, 2.0, f32::NAN]);
        sample.record.mask_file = Some("secret/place.png".into());
        let json: Value = serde_json::from_slice(&of_result(&sample.record).unwrap()).unwrap();
        assert_eq!(json["frame"], 7);
        assert_eq!(json["flags"][0], "invalid_explanation");
        assert!(json["class"].is_null() && json.get("scores").is_none() && json.get("mask_file").is_none());
    }

    #[test]
    fn every_sensor_is_described_with_a_topic_that_is_published() {
        let topics = Topics::new("site/comet", "camera0").unwrap();
        let snapshot = Monitor::default().snapshot();
        let health = of_health(&snapshot);
        let trust = serde_json::to_value(&snapshot.trust).unwrap();
        let record = serde_json::to_value(result("camera0", 0, [0.0; 3]).record).unwrap();
        for (topic, description) in topics.discovery(&snapshot) {
            assert!(topic.starts_with("homeassistant/") && topic.contains("/site-comet-camera0/"), "{topic}");
            assert_eq!(description["availability_topic"], "site/comet/camera0/status");
            let state = description["state_topic"].as_str().unwrap();
            let published = match state.strip_prefix("site/comet/camera0/").unwrap() {
                "health" => &health,
                "trust" => &trust,
                "result" => &record,
                other => panic!("nothing is published at {other}"),
            };
            let template = description["value_template"].as_str().unwrap();
            let key = template.split("value_json.").nth(1).unwrap();
            let key = key.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            assert!(published.get(key).is_some(), "{template}");
        }
    }
}
