//! Charts of handmade results.

use super::super::machine::Machine;
use super::super::report::tests::{growing, measured, results};
use super::*;
use crate::report::well_formed;

fn preface() -> Preface {
    let machine = Machine { cpu: "Some <CPU> & more".to_owned(), cores: 2, kernel: "6.1.0".to_owned() };
    Preface { machine, rounds: 7, python: Some("3.11.7".to_owned()) }
}

fn sides() -> Vec<Measured> {
    vec![
        measured("Lock", Kind::Ours, 20.0),
        measured("robust <pthread> mutex", Kind::Baseline, 22.0),
        measured("python3 3.11.7", Kind::Python, 4_600.0),
    ]
}

#[test]
fn chart_says_what_was_measured() {
    let noisy = Measured { spread_percent: 80.0, ..sides()[0].clone() };
    let all = [
        results("lock", sides()),
        results("queue", vec![noisy, sides()[1].clone()]),
        growing("bytes", &[(8, &sides()), (16 << 20, &sides())]),
    ];
    let said = well_formed::timeline(&draw(&all, &preface()));
    for part in [
        "What each mechanism costs",
        "Some <CPU> & more · 2 cores · Linux 6.1.0 · 7 rounds · Python 3.11.7",
        "← shorter, ↓ lower is better",
        "robust <pthread> mutex",
        "ours 230× faster",
        "ours 1.1× faster",
        "~20.0 ns",
        "too noisy to tell",
        "16 MiB",
        "Lock 20.0 ns",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn every_number_of_results_is_a_chart_that_fits_a_slide() {
    for (single, grown) in [(0, 0), (1, 0), (0, 1), (3, 0), (9, 2), (24, 6)] {
        let mut all: Vec<Results> = (0..single).map(|_| results("work", sides())).collect();
        all.extend((0..grown).map(|_| growing("clients", &[(1, &sides()), (2, &sides()), (16, &sides())])));
        let picture = draw(&all, &preface());
        well_formed::timeline(&picture);
        let parsed = roxmltree::Document::parse(&picture).expect("XML");
        let number = |name| parsed.root_element().attribute(name).and_then(|it| it.parse::<f64>().ok()).expect(name);
        let (width, height) = (number("width"), number("height"));
        assert!(width / height > 1.3, "{single} and {grown}: {width} x {height}");
        for bar in parsed.descendants().filter(|node| node.attribute("rx").is_some()) {
            let place = |name| bar.attribute(name).and_then(|it| it.parse::<f64>().ok()).expect(name);
            assert!(place("x") + place("width") < width && place("y") + place("height") < height);
        }
    }
}

#[test]
fn same_results_are_the_same_chart() {
    let all = [results("lock", sides())];
    assert_eq!(draw(&all, &preface()), draw(&all, &preface()));
}
