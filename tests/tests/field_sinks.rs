//! Faults in what is written and served that users of such programs report.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use comet_tests::program::{Program, Running, comet_edge};
use comet_tests::{repository, shipped_model};

const LIMIT: Duration = Duration::from_secs(20);

fn predict() -> anyhow::Result<Program> {
    Ok(comet_edge("predict --model")?.arg(shipped_model("hands.int8.onnx")))
}

fn shipped_image() -> PathBuf {
    repository().join("calib/hands/images/0/0000.png")
}

/// A run with a page at a free port, which it says.
fn page() -> anyhow::Result<(Running, u16)> {
    let program = comet_edge("run --live --source synthetic:64x64,20,1 --http 127.0.0.1:0 --model")?;
    let mut running = program.arg(shipped_model("hands.int8.onnx")).spawn()?;
    let port = |running: &Running| -> Option<u16> {
        let said = running.stderr();
        let (address, _) = said.split_once("page: http://")?.1.split_once('\n')?;
        address.split('/').next()?.rsplit_once(':')?.1.parse().ok()
    };
    running.wait_until("the page's address", |running| port(running).is_some())?;
    let port = port(&running).context("no port")?;
    Ok((running, port))
}

/// The head and the body of the reply to a request.
fn get(port: u16, path: &str, headers: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
    Ok((String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase(), bytes[end + 4..].to_vec()))
}

fn text(port: u16, path: &str, headers: &str) -> anyhow::Result<String> {
    Ok(String::from_utf8(get(port, path, headers)?.1)?)
}

/// Values of the attributes that lead somewhere.
fn links(html: &str) -> Vec<String> {
    let of = |attribute: &str| {
        let mark = format!("{attribute}=\"");
        let parts = html.split(&mark).skip(1).map(str::to_owned);
        parts.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    ["href", "src", "action"].into_iter().flat_map(of).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_image_with_a_name_as_long_as_possible_gets_its_files() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (images, out) = (folder.path().join("images"), folder.path().join("out"));
    fs::create_dir(&images)?;
    for last in ["a", "b"] {
        fs::copy(shipped_image(), images.join(format!("{}{last}.png", "n".repeat(249))))?;
    }
    let program = predict()?.words("--json --overlay").arg(&out).arg("--masks").arg(&out);
    let lines = program.arg(&images).run()?.succeeds()?.json_lines()?;
    assert_eq!(lines.len(), 2);
    assert_eq!(files(&out).len(), 4, "{:?}", files(&out));
    for line in lines {
        let overlay = line["overlay_file"].as_str().context("no overlay")?;
        image::open(overlay).with_context(|| overlay.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_costs_that_file_and_not_the_job() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (images, out) = (folder.path().join("images"), folder.path().join("out"));
    fs::create_dir(&images)?;
    for name in ["a", "b", "c"] {
        fs::copy(shipped_image(), images.join(format!("{name}.png")))?;
    }
    // A folder in a file's place stops root, too.
    fs::create_dir_all(out.join("b.overlay.jpg/in-the-way"))?;
    let program = predict()?.words("--json --overlay").arg(&out).arg(&images);
    let ended = program.run()?.ends_with(5)?.says(&["b.overlay.jpg", "cannot be written"])?;
    let lines = ended.json_lines()?;
    assert_eq!(lines.len(), 3);
    assert_eq!(lines.iter().filter(|line| line["overlay_file"].is_string()).count(), 2);
    assert!(out.join("a.overlay.jpg").is_file() && out.join("c.overlay.jpg").is_file());
    Ok(())
}

#[test]
fn a_file_name_with_a_line_break_stays_on_its_line() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("two\nlines\u{1b}[31m.png");
    fs::copy(shipped_image(), &image)?;
    let ended = predict()?.arg(&image).run()?.succeeds()?;
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("two\\nlines\\u{1b}[31m.png  0  "), "{}", ended.stdout);
    assert!(ended.stdout.contains(" % of the image  ") && ended.stdout.trim_end().ends_with(" ms"));
    Ok(())
}

#[test]
fn the_page_works_below_any_path_of_a_proxy() -> anyhow::Result<()> {
    let (_running, port) = page()?;
    let html = text(port, "/", "")?;
    let found = links(&html);
    assert!(found.len() >= 7, "{found:?}");
    for link in &found {
        assert!(link.starts_with("./"), "'{link}' leaves the path at which a proxy serves the page");
    }
    // With what the proxy reports, the slash at the end of the path is not needed.
    let html = text(port, "/", "X-Forwarded-Prefix: /cam1\r\n")?;
    assert!(links(&html).iter().all(|link| link.starts_with("/cam1/")), "{html}");
    for prefix in ["//evil.example", "/a\"><script>", "https://evil.example", "/../.."] {
        let html = text(port, "/", &format!("X-Forwarded-Prefix: {prefix}\r\n"))?;
        assert_eq!(links(&html), found, "{prefix}");
    }
    for script in ["/page.js", "/image.js", "/panels.js", "/colours.js"] {
        let script_text = text(port, script, "")?;
        for quote in ["\"/", "'/", "`/"] {
            assert!(!script_text.contains(quote), "{script} has a whole path behind {quote}");
        }
    }
    Ok(())
}

#[test]
fn a_port_or_localhost_is_an_address_for_the_page() -> anyhow::Result<()> {
    for address in ["0", "localhost:0", "http://127.0.0.1:0/"] {
        let program = comet_edge("run --source synthetic:64x64,0,1,3 --http")?.arg(address).arg("--model");
        program
            .arg(shipped_model("hands.int8.onnx"))
            .run()?
            .succeeds()?
            .says(&["page: http://127.0.0.1:"])?;
    }
    let program = comet_edge("run --source synthetic:64x64,0,1,3 --http board.local:80")?;
    program.run()?.ends_with(2)?.says(&["board.local", "127.0.0.1:8080"])?;
    Ok(())
}
