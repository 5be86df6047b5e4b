//! Edges of SONATA files, of which h5py wrote one.

use std::path::{Path, PathBuf};

use granule_data::sonata::{EdgeRequest, Edges, read_edges};
use hdf5_pure::FileBuilder;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn request(edges: &Path) -> EdgeRequest<'_> {
    EdgeRequest {
        edges,
        types: None,
        population: None,
        sources: None,
        targets: None,
    }
}

#[test]
fn edges_carry_what_they_or_their_types_say() {
    let (edges, types) = (fixture("edges.h5"), fixture("edge_types.csv"));
    let of = |population| EdgeRequest {
        types: Some(&types),
        population: Some(population),
        ..request(&edges)
    };
    let expected = Edges {
        pre: vec![0.0, 1.0, 2.0, 2.0, 3.0],
        post: vec![1.0, 0.0, 0.0, 2.0, 1.0],
        // By their places in the first group, times nsyns; those of the second by their types.
        weights: Some(vec![0.25, 1.0, 3.0, 3.0, 4.5]),
        delays: Some(vec![2.0, 2.0, 0.8, 0.8, 2.0]),
    };
    assert_eq!(read_edges(&of("e_to_i")).unwrap(), expected);
    // NULL is no weight.
    let expected = Edges {
        pre: vec![10.0, 11.0, 13.0],
        post: vec![0.0, 3.0, 1.0],
        weights: None,
        delays: Some(vec![1.0; 3]),
    };
    assert_eq!(read_edges(&of("x_to_e")).unwrap(), expected);
    // A part of the nodes, counted from its first one.
    let part = EdgeRequest {
        sources: Some([2, 4]),
        targets: Some([1, 3]),
        ..of("e_to_i")
    };
    let expected = Edges {
        pre: vec![0.0, 1.0],
        post: vec![1.0, 0.0],
        weights: Some(vec![3.0, 4.5]),
        delays: Some(vec![0.8, 2.0]),
    };
    assert_eq!(read_edges(&part).unwrap(), expected);
    let none = EdgeRequest {
        sources: Some([5, 6]),
        ..of("e_to_i")
    };
    assert_eq!(read_edges(&none).unwrap(), Edges::default());
}

/// A population `a` with these data sets.
fn written(dir: &Path, sets: &[(&str, &[f64])]) -> PathBuf {
    let mut file = FileBuilder::new();
    let mut edges = file.create_group("edges");
    let mut own = edges.create_group("a");
    for (name, values) in sets {
        own.create_dataset(name).with_f64_data(values);
    }
    edges.add_group(own.finish());
    file.add_group(edges.finish());
    let path = dir.join("edges.h5");
    std::fs::write(&path, file.finish().unwrap()).unwrap();
    path
}

#[test]
fn files_that_are_wrong_are_refused_by_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let error = |request: &EdgeRequest<'_>| read_edges(request).unwrap_err().to_string();
    let edges = fixture("edges.h5");
    let two = error(&request(&edges));
    assert!(
        two.contains("edges.h5") && two.contains("e_to_i, x_to_e"),
        "{two}"
    );
    let other = error(&EdgeRequest {
        population: Some("e_to_e"),
        ..request(&edges)
    });
    assert!(
        other.contains("\"e_to_e\"") && other.contains("e_to_i, x_to_e"),
        "{other}"
    );
    // Without its types some edges have no weight.
    let lacking = error(&EdgeRequest {
        population: Some("e_to_i"),
        ..request(&edges)
    });
    assert!(
        lacking.contains("edge 2 of e_to_i has no syn_weight"),
        "{lacking}"
    );
    let reversed = error(&EdgeRequest {
        population: Some("e_to_i"),
        targets: Some([3, 1]),
        ..request(&edges)
    });
    assert!(reversed.contains("targets = [3, 1]"), "{reversed}");
    let no_edges = fixture("new.h5");
    assert!(error(&request(&no_edges)).contains("no group edges/POPULATION"));
    assert!(error(&request(&at.join("absent.h5"))).contains("absent.h5"));

    let source: (&str, &[f64]) = ("source_node_id", &[0.0, 1.0]);
    let target: (&str, &[f64]) = ("target_node_id", &[0.0, 1.0]);
    for (sets, said) in [
        (vec![source], "a data set target_node_id"),
        (
            vec![source, ("target_node_id", &[0.0])],
            "it has 1 value, source_node_id 2",
        ),
        (
            vec![source, ("target_node_id", &[0.0, -1.0])],
            "edge 1 has -1",
        ),
        (
            vec![source, ("target_node_id", &[0.0, 0.5])],
            "edge 1 has 0.5",
        ),
        (
            vec![source, ("target_node_id", &[f64::NAN, 0.5])],
            "edge 0 has NaN",
        ),
        (
            vec![source, target, ("edge_group_index", &[0.0])],
            "it has 1 value, source_node_id 2",
        ),
    ] {
        let path = written(at, &sets);
        let error = error(&request(&path));
        assert!(error.contains(said), "{error}");
    }
    let path = written(at, &[source, target, ("edge_type_id", &[7.0, 8.0])]);
    for (table, said) in [
        ("syn_weight\n1.0\n", "no column edge_type_id"),
        ("edge_type_id syn_weight\n7 1.0\n", "no edge type 8"),
        (
            "edge_type_id syn_weight\n7 1.0\n7 2.0\n",
            "edge type 7 is there twice",
        ),
        (
            "edge_type_id syn_weight\n7 1.0\nx 2.0\n",
            "row 1 has no edge_type_id",
        ),
        (
            "edge_type_id syn_weight\n7 1.0\n8 much\n",
            "\"much\", which is no number",
        ),
        (
            "edge_type_id syn_weight\n7 1.0\n8 inf\n",
            "syn_weight of edge 1 is inf",
        ),
        (
            "edge_type_id syn_weight\n7 1.0\n8 NULL\n",
            "edge 1 of a has no syn_weight",
        ),
        ("edge_type_id syn_weight\n7 1.0 3\n", "no table"),
    ] {
        let types = at.join("types.csv");
        std::fs::write(&types, table).unwrap();
        let error = error(&EdgeRequest {
            types: Some(&types),
            ..request(&path)
        });
        assert!(
            error.contains(said) && error.contains("types.csv") | error.contains("edges.h5"),
            "{error}"
        );
    }
    // Cut anywhere, it is an error and no edges.
    let whole = std::fs::read(&edges).unwrap();
    for length in (0..whole.len()).step_by(97) {
        let path = at.join("cut.h5");
        std::fs::write(&path, &whole[..length]).unwrap();
        let cut = EdgeRequest {
            population: Some("e_to_i"),
            ..request(&path)
        };
        assert!(read_edges(&cut).is_err(), "{length}");
    }
}
