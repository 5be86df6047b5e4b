//! Settings, good and bad.

use super::*;
use crate::model::Clock;
use crate::solver::Rk4;
use crate::testing::f64_place;
use crate::{Bounds, Field, Values};

fn refused<K: CellKind>(change: impl FnOnce(&mut CellConfig<K>)) -> String {
    let mut config = CellConfig::<K>::default();
    change(&mut config);
    let by_validation = config.validate().map(|()| None);
    let result = by_validation
        .and_then(|_: Option<()>| config.init(Arc::new(Rk4), &f64_place()).map(|_| ()));
    match result {
        Err(error @ DynamicsError::Config(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    type Change = fn(&mut HodgkinHuxleyConfig);
    let cases: [(Change, &str); 12] = [
        (
            |c| c.parameters.set("capacitance", -1.0).unwrap(),
            "unit.parameters.capacitance = -1 is not allowed: a finite number above 0",
        ),
        (
            |c| c.parameters.set("capacitance", 0.0).unwrap(),
            "unit.parameters.capacitance = 0 ",
        ),
        (
            |c| c.parameters.set("g_na", -0.1).unwrap(),
            "unit.parameters.g_na = -0.1 is not allowed: a finite number, at least 0",
        ),
        (
            |c| c.parameters.set("e_k", f64::NAN).unwrap(),
            "unit.parameters.e_k = NaN ",
        ),
        (
            |c| c.parameters.set("alpha_m_slope", -10.0).unwrap(),
            "unit.parameters.alpha_m_slope = -10 ",
        ),
        (
            |c| c.parameters.set("g_l", vec![0.3, 0.3]).unwrap(),
            "unit.parameters.g_l = [2 values] is not allowed: one value, or 1: one for each cell",
        ),
        (
            |c| c.parameters.set("g_l", Vec::new()).unwrap(),
            "unit.parameters.g_l = [0 values] ",
        ),
        (|c| c.cells = 0, "unit.cells = 0 "),
        (|c| c.current = f64::INFINITY.into(), "unit.current = inf "),
        (
            |c| c.initial.set("m", 1.5).unwrap(),
            "unit.initial.m = 1.5 is not allowed: from 0 to 1",
        ),
        (
            |c| c.trainable = vec!["gna".into()],
            "unit.trainable = gna is not allowed: capacitance, g_na, ",
        ),
        (
            |c| {
                for g in ["g_na", "g_k", "g_l"] {
                    c.parameters.set(g, 0.0).unwrap();
                }
            },
            "unit.initial.v = at rest is not allowed: a voltage in mV: cell 0 has no resting",
        ),
    ];
    for (change, expected) in cases {
        let found = refused(change);
        assert!(found.starts_with(expected), "{found}");
    }
    let found = WangBuzsakiConfig::default().initial.set("m", 0.5);
    let found = found.unwrap_err().to_string();
    assert!(found.starts_with("unit.initial.m = given "), "{found}");
}

#[test]
fn bounds_must_suit_the_parameter_and_hold_the_value() {
    let with = |bounds: Bounds| {
        refused::<HodgkinHuxley>(|c| {
            c.trainable = vec!["g_na".into()];
            c.bounds.insert("g_na".into(), bounds);
        })
    };
    assert!(with(Bounds::Free).starts_with("unit.bounds.g_na = \"free\" is not"));
    assert!(with(Bounds::Above(-1.0)).starts_with("unit.bounds.g_na = { "));
    assert!(with(Bounds::Between(2.0, 1.0)).starts_with("unit.bounds.g_na = { "));
    assert!(with(Bounds::Between(0.0, 50.0)).starts_with("unit.parameters.g_na = 120 "));
    // A conductance of 0 is a value, but none that training can hold above 0.
    let zero = refused::<HodgkinHuxley>(|c| {
        c.trainable = vec!["g_na".into()];
        c.parameters.set("g_na", 0.0).unwrap();
    });
    assert!(zero.starts_with("unit.parameters.g_na = 0 "), "{zero}");
    let mut blocked = HodgkinHuxleyConfig::default();
    blocked.parameters.set("g_na", 0.0).unwrap();
    assert!(blocked.init(Arc::new(Rk4), &f64_place()).is_ok());
}

#[test]
fn files_say_what_they_mean() {
    let text = r#"{
        "kind": "hodgkin-huxley", "cells": 2, "current": 10,
        "trainable": ["g_na", "v"], "bounds": {"g_na": {"between": [50.0, 200.0]}},
        "parameters": {"g_na": [120, 110.5], "alpha_m_midpoint": -39},
        "initial": {"v": -65}
    }"#;
    let unit: UnitConfig = serde_json::from_str(text).unwrap();
    let UnitConfig::HodgkinHuxley(config) = &unit else {
        panic!("{unit:?}")
    };
    let given = |name| config.parameters.get(name).unwrap();
    assert_eq!(*given("g_na"), Values::Each(vec![120.0, 110.5]));
    assert_eq!(*given("g_k"), Values::One(36.0));
    assert_eq!(config.bounds["g_na"], Bounds::Between(50.0, 200.0));
    let again: UnitConfig = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
    assert_eq!(again, unit);
    let UnitModel::Conductance(cells) = unit.init(Arc::new(Rk4), &f64_place()).unwrap() else {
        panic!("{unit:?}")
    };
    let g_na = cells.parameter("g_na").unwrap();
    let values = g_na.values().unwrap();
    assert!((values[1] - 110.5).abs() < 1e-10 && g_na.parameter().is_some());
    assert_eq!(
        cells
            .parameter("alpha_m_midpoint")
            .unwrap()
            .values()
            .unwrap(),
        [-39.0]
    );

    for (text, expected) in [
        (
            r#"{"kind": "hodgkin-huxley", "parameters": {"gna": 1}}"#,
            "its keys are capacitance, g_na",
        ),
        (
            r#"{"kind": "hodgkin-huxley", "currents": 1}"#,
            "has no key \"currents\"",
        ),
        (
            r#"{"kind": "hodgkin"}"#,
            "has no choice \"hodgkin\"; the choices are hodgkin-huxley, wang-buzsaki,",
        ),
        (r#"{"kind": 3}"#, "must be the name of a cell"),
        (r#"{"current": 3}"#, "`kind`"),
        ("3", "a table with its `kind`"),
    ] {
        let error = serde_json::from_str::<UnitConfig>(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn files_that_say_model_where_kind_is_said_now_are_read() {
    let older: UnitConfig = serde_json::from_str(r#"{"model": "adex", "cells": 3}"#).unwrap();
    let text = serde_json::to_string(&older).unwrap();
    assert!(text.starts_with(r#"{"kind":"adex""#), "{text}");
    assert_eq!(serde_json::from_str::<UnitConfig>(&text).unwrap(), older);
    assert_eq!(older.cells(), 3);
}

#[test]
fn every_parameter_is_reached_by_its_name() {
    for name in [HodgkinHuxley::NAME, WangBuzsaki::NAME, TraubMiles::NAME] {
        let mut unit = UnitConfig::from_name(name).unwrap();
        assert_eq!(unit.name(), name);
        let names: Vec<&str> = unit
            .parameters()
            .iter()
            .map(|(info, _)| info.name)
            .collect();
        assert_eq!(names.len(), 27);
        for name in &names {
            *unit.parameter_mut(name).unwrap() = 7.0.into();
        }
        assert!(
            unit.parameters()
                .iter()
                .all(|(_, x)| **x == Values::One(7.0))
        );
        let written = serde_json::to_value(&unit).unwrap();
        for name in &names {
            assert_eq!(written["parameters"][name], 7.0, "{name}");
        }
        let info = unit.parameters()[1].0;
        assert_eq!((info.name, info.unit), ("g_na", "mS/cm²"));
        assert!(unit.parameter_mut("g").is_err());
    }
    assert!(UnitConfig::from_name("hh").is_err());
}

#[test]
fn an_unstable_step_names_time_and_variable() {
    let cells = population::<HodgkinHuxley>(&[10.0]);
    let cells = cells.init(Arc::new(Rk4), &f64_place()).unwrap();
    let error = trace(&cells, &NoInput, 1.0, 400).unwrap_err();
    let DynamicsError::NonFinite { time, variable, .. } = &error else {
        panic!("{error}")
    };
    let names: Vec<String> = cells
        .field()
        .unwrap()
        .variables()
        .iter()
        .map(|v| v.name.clone())
        .collect();
    assert!(names.contains(variable), "{error}");
    // The step at which it happened, not the one at which it was noticed.
    assert!(*time < 100.0 && time.fract() == 0.0, "{error}");
}

#[test]
fn a_nan_in_the_input_is_found_at_its_step_and_a_wrong_shape_before_it() {
    let place = f64_place();
    let config = population::<HodgkinHuxley>(&[0.0, 0.0, 0.0]);
    let cells = config.init(Arc::new(Rk4), &place).unwrap();
    let input = |at: Clock| {
        let bad = match at.step {
            37 => f64::NAN,
            _ => 1.0,
        };
        Some(place.tensor(vec![0.0, bad, 0.0], [1, 3]))
    };
    let error = trace(&cells, &input, 0.025, 100).unwrap_err();
    let DynamicsError::NonFinite {
        time,
        variable,
        unit,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert!((time - 38.0 * 0.025).abs() < 1e-12, "{error}");
    assert_eq!((variable.as_str(), *unit), ("v", 1));

    for shape in [[1, 2], [2, 3], [1, 4], [1, 0]] {
        let input = crate::ConstantInput(place.full(0.0, shape));
        let error = trace(&cells, &input, 0.025, 1).unwrap_err();
        assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
    }
}
