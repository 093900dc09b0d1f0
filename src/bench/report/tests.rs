//! Handmade results, and their output.

use super::super::workload::RoundTrips;
use super::*;

pub(in crate::bench) fn measured(side: &str, kind: Kind, median_ns: f64) -> Measured {
    Measured {
        side: side.to_owned(),
        kind,
        operations: 1000,
        rounds_ns: vec![median_ns; 3],
        median_ns,
        spread_percent: 3.0,
        ours_to_this: 20.0 / median_ns,
        round_trips: None,
    }
}

pub(in crate::bench) fn results(name: &'static str, sides: Vec<Measured>) -> Results {
    Results { name, about: "some work", axis: None, points: vec![Row { at: 1, sides }] }
}

pub(in crate::bench) fn growing(axis: &'static str, points: &[(u64, &[Measured])]) -> Results {
    let points = points.iter().map(|(at, sides)| Row { at: *at, sides: sides.to_vec() }).collect();
    Results { name: "growth", about: "more and more", axis: Some(axis), points }
}

fn three() -> Vec<Measured> {
    vec![
        measured("std::process::Command of itself", Kind::Ours, 20.0),
        Measured { spread_percent: 100.0, ..measured("baseline", Kind::Baseline, 998_765_432.0) },
        Measured {
            round_trips: Some(RoundTrips { p50_ns: 1500.0, p99_ns: 88_123.0 }),
            ..measured("python3 3.11.7", Kind::Python, 1500.0)
        },
    ]
}

#[test]
fn rows_say_what_was_measured() {
    insta::assert_snapshot!(text(&results("work", three()), 80).trim(), @r"
    work: some work
      std::process::Command of itself  20.0 ns ±  3 %  50.0 M/s
      baseline                          999 ms ±100 %      1 /s  ratio 1/49938k
        too noisy to tell: the rounds differ too much, the machine was busy
      python3 3.11.7                   1.50 µs ±  3 %   667 k/s  ratio 1/75
        p50 1.50 µs, p99 88.1 µs
    ");
}

/// Returns sides as they appear in tables.
fn four() -> Vec<Measured> {
    let channel = measured("channel", Kind::Baseline, 123_456.0);
    let memcpy = Measured { side: "memcpy".to_owned(), spread_percent: 26.0, ..channel.clone() };
    vec![measured("Queue", Kind::Ours, 20.0), channel, memcpy, measured("python3", Kind::Python, 999_400.0)]
}

#[test]
fn table_has_a_row_a_point() {
    insta::assert_snapshot!(text(&growing("bytes", &[(8, &four()), (16 << 20, &four())]), 80).trim(), @r"
    growth: more and more
          bytes     Queue   channel  ratio    memcpy  ratio   python3  ratio
            8 B   20.0 ns    123 µs 1/6173   ~123 µs 1/6173    999 µs  1/50k
         16 MiB   20.0 ns    123 µs 1/6173   ~123 µs 1/6173    999 µs  1/50k
      ~ too noisy to tell: the rounds differ too much, the machine was busy
    ");
    insta::assert_snapshot!(text(&growing("producers", &[(1, &four()[..2]), (16, &four()[..2])]), 80).trim(), @r"
    growth: more and more
      producers     Queue   channel  ratio
              1   20.0 ns    123 µs 1/6173
             16   20.0 ns    123 µs 1/6173
    ");
}

#[test]
fn lines_follow_the_width() {
    for columns in [40, 60, 80] {
        for results in [results("work", three()), growing("producers", &[(16, &four())])] {
            let text = text(&results, columns);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
    }
    insta::assert_snapshot!(text(&growing("producers", &[(16, &four()[..3])]), 40).trim(), @r"
    growth: more and more
      producers     Queue   channel  ratio
                   memcpy  ratio
             16   20.0 ns    123 µs 1/6173
                  ~123 µs 1/6173
      ~ too noisy to tell: the rounds differ
        too much, the machine was busy
    ");
}

#[test]
fn json_says_everything() {
    let lines = json(&results("work", three()));
    let objects: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(
        (&objects[0]["workload"], &objects[0]["kind"], &objects[0]["p50_ns"]),
        (&json!("work"), &json!("ours"), &Value::Null)
    );
    assert_eq!((&objects[2]["p50_ns"], &objects[2]["p99_ns"]), (&json!(1500.0), &json!(88_123.0)));
    assert_eq!(objects[1]["too_noisy"], true);
    assert_eq!(objects[0]["rounds_ns"], json!([20.0, 20.0, 20.0]));
    let grown = json(&growing("bytes", &[(8, &three()), (64, &three())]));
    let last: Value = serde_json::from_str(grown.lines().last().expect("lines")).expect("JSON");
    assert_eq!((&last["axis"], &last["at"]), (&json!("bytes"), &json!(64)));
}

#[test]
fn times_and_ratios_have_few_digits() {
    let times = [0.123, 9.94, 22.14, 312.6, 999.6, 8_600.0, 12_340.0, 123_456.0, 1_960_000.0, 44e6, 999.6e6, 2e9];
    let said = [
        "0.1 ns", "9.9 ns", "22.1 ns", "313 ns", "1.00 µs", "8.60 µs", "12.3 µs", "123 µs", "1.96 ms", "44.0 ms",
        "1.00 s", "2.00 s",
    ];
    assert_eq!(times.map(time), said);
    let ratios = [0.000_02, 0.000_12, 0.0044, 0.1, 1.0, 4.728, 118.4].map(ratio);
    assert_eq!(ratios, ["1/50k", "1/8333", "1/227", "0.10", "1.00", "4.73", "118"]);
    assert_eq!([8, 4096, 16 << 20].map(|at| amount("bytes", at)), ["8 B", "4 KiB", "16 MiB"]);
    assert_eq!(amount("clients", 4096), "4096");
}
