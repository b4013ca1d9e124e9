use super::*;
use crate::image::{Fit, Preprocess};
use crate::model::{DataSummary, TrainingSummary};

fn index() -> ReferenceIndex {
    ReferenceIndex {
        format: REFERENCE_FORMAT,
        model: "hands".into(),
        float_sha256: "ab12".into(),
        classes: vec!["one".into(), "two".into()],
        width: 4,
        height: 3,
        images: Vec::new(),
    }
}

fn manifest() -> Manifest {
    Manifest {
        format_version: 1,
        name: "hands".into(),
        writer: "test".into(),
        classes: vec!["one".into(), "two".into()],
        preprocess: Preprocess { width: 4, height: 3, fit: Fit::Crop, mean: [0.5; 3], std: [0.25; 3] },
        fill: 0.0,
        temperature: 1.0,
        precision: Precision::Int8,
        preset: "small".into(),
        training: TrainingSummary::default(),
        data: DataSummary::default(),
        metrics: None,
        float_sha256: Some("AB12".into()),
        fidelity: None,
        limits: None,
    }
}

fn prediction() -> Explanation {
    let values = (0..12).map(|n| n as f32 / 11.0).collect();
    Explanation { mask: Mask::new(4, 3, values).unwrap(), logits: vec![0.25, -1.5], temperature: 1.0 }
}

fn png() -> Vec<u8> {
    let mut png = io::Cursor::new(Vec::new());
    RgbImage::from_pixel(9, 7, image::Rgb([1, 2, 3])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn written(folder: &Path) -> ReferenceSet {
    let mut writer = ReferenceWriter::new(folder, index());
    writer.add("two", "a.png", &png(), &prediction()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let set = written(folder.path());
    let read = ReferenceSet::read(folder.path()).unwrap();
    assert_eq!(read.index(), set.index());
    let cases: Vec<_> = read.cases().map(Result::unwrap).collect();
    assert_eq!(cases.len(), 1);
    let case = &cases[0];
    assert_eq!((case.truth, case.prediction.top(), case.image.dimensions()), (1, 0, (9, 7)));
    for (read, written) in case.prediction.mask.values().iter().zip(prediction().mask.values()) {
        assert!((read - written).abs() <= 0.5 / 255.0 + 1e-6);
    }
}

#[test]
fn the_field_that_does_not_fit_the_model_is_named() {
    let field = |index: &ReferenceIndex, manifest: &Manifest, sha256: &str| match index
        .check_manifest(manifest, sha256)
    {
        Ok(()) => "",
        Err(ReferenceErrorKind::Field { field, .. }) => field,
        Err(_) => "another error",
    };
    let float = Manifest { precision: Precision::Float32, float_sha256: None, ..manifest() };
    assert_eq!(field(&index(), &manifest(), "of the int8 file"), "");
    assert_eq!(field(&index(), &float, "ab12"), "");
    assert_eq!(field(&index(), &float, "cd34"), "float_sha256");
    let orphan = Manifest { float_sha256: None, ..manifest() };
    assert_eq!(field(&index(), &orphan, "ab12"), "float_sha256");

    type Change = fn(&mut ReferenceIndex);
    let changes: [(&str, Change); 5] = [
        ("model", |index| index.model = "tiles".into()),
        ("classes", |index| index.classes.reverse()),
        ("width", |index| index.width += 1),
        ("height", |index| index.height += 1),
        ("float_sha256", |index| index.float_sha256 = "cd34".into()),
    ];
    for (name, change) in changes {
        let mut changed = index();
        change(&mut changed);
        assert_eq!(field(&changed, &manifest(), ""), name);
    }
}

#[test]
fn faulty_indexes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let path = folder.path().join(INDEX);
    let good = fs::read_to_string(&path).unwrap();
    for (from, to, word) in [
        ("\"format\": 1", "\"format\": 2", "format 2"),
        ("\"format\": 1,", "", "format"),
        ("two/a.png", "../../a.png", "file"),
        ("two/a.png", "three/a.png", "file"),
        ("-1.5", "-1.5, 2.0", "logits"),
        ("\"width\": 4,", "", "width"),
        ("{", "", "index"),
    ] {
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = ReferenceSet::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
}

#[test]
fn a_map_of_another_size_and_a_missing_image_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let set = written(folder.path());
    fs::write(folder.path().join("masks/two/a.png"), png()).unwrap();
    let error = set.cases().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("9 x 7") && error.contains("a.png"), "{error}");
    fs::remove_file(folder.path().join("masks/two/a.png")).unwrap();
    assert!(set.cases().next().unwrap().unwrap_err().name.ends_with("a.png"));
}

#[test]
fn images_that_do_not_belong_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ReferenceWriter::new(folder.path(), index());
    assert!(writer.add("three", "a.png", &png(), &prediction()).is_err());
    assert!(writer.add("one", "../a.png", &png(), &prediction()).is_err());
    writer.add("one", "a.png", &png(), &prediction()).unwrap();
    assert!(writer.add("one", "a.jpg", &png(), &prediction()).is_err());
    assert!(ReferenceWriter::new(folder.path(), index()).finish().is_err());
}

#[test]
fn only_a_plain_name_below_a_known_class_is_a_file_of_the_set() {
    let index = ReferenceIndex { classes: vec!["one".into(), "two".into(), "..".into()], ..index() };
    assert_eq!(index.truth("two/a.png"), Some(1));
    for file in
        ["two", "two/", "two/.", "two/..", "two/x/a.png", "two/x\\a.png", "two/a\0.png", "three/a.png"]
    {
        assert_eq!(index.truth(file), None, "{file:?}");
    }
    assert_eq!(index.truth("../a.png"), None, "a class that leads out of the folder");
}
