use granule_data::{
    Augmentation, AugmentationKey, DataError, Features, Normalization, Shape, Split, Targets,
};

fn images() -> Split {
    let shape = Shape::Image {
        channels: 3,
        height: 2,
        width: 2,
    };
    Split::new(
        shape,
        Features::Bytes((0..36).map(|i| i * 7).collect()),
        Targets::Classes(vec![0, 1, 2]),
    )
    .unwrap()
}

#[test]
fn lengths_and_kinds_are_checked() {
    let shape = Shape::Image {
        channels: 1,
        height: 2,
        width: 2,
    };
    let labels = |n| Targets::Classes(vec![0; n]);
    let bytes = |n| Features::Bytes(vec![0; n]);
    assert!(Split::new(shape, bytes(8), labels(2)).is_ok());
    let vector = Shape::Vector { len: 2 };
    for (shape, features, targets) in [
        (shape, bytes(7), labels(2)),
        (shape, bytes(8), labels(3)),
        (shape, Features::Floats(vec![1.5; 8]), labels(2)),
        (vector, bytes(8), labels(4)),
        (vector, Features::Floats(vec![f32::NAN; 2]), labels(1)),
        (
            vector,
            Features::Floats(vec![0.0; 4]),
            Targets::Values {
                data: vec![0.0; 3],
                width: 2,
            },
        ),
        (
            vector,
            Features::Floats(vec![0.0; 4]),
            Targets::Values {
                data: vec![],
                width: 0,
            },
        ),
        (
            vector,
            Features::Floats(vec![0.0; 2]),
            Targets::Values {
                data: vec![f32::INFINITY],
                width: 1,
            },
        ),
        (
            Shape::Vector { len: 0 },
            Features::Floats(vec![]),
            labels(0),
        ),
    ] {
        assert!(matches!(
            Split::new(shape, features, targets),
            Err(DataError::Config(_))
        ));
    }
}

#[test]
fn gather_normalises_each_channel() {
    let split = images();
    let normalization = Normalization {
        mean: vec![0.1, 0.2, 0.3],
        std: vec![0.5, 0.25, 2.0],
    };
    let mut out = vec![9.0; 3];
    split
        .gather(&[2, 0, 2], &normalization, None, &mut out)
        .unwrap();
    let expected = [2usize, 0, 2].iter().flat_map(|&index| {
        let normalization = &normalization;
        split
            .pixels(index)
            .unwrap()
            .iter()
            .enumerate()
            .map(move |(at, &pixel)| {
                let channel = at / 4;
                (f32::from(pixel) / 255.0 - normalization.mean[channel] as f32)
                    / normalization.std[channel]
            })
    });
    assert_eq!(out, expected.collect::<Vec<_>>());
    split
        .gather(&[1], &Normalization::default(), None, &mut out)
        .unwrap();
    assert_eq!(out[11], f32::from(split.pixels(1).unwrap()[11]) / 255.0);
}

#[test]
fn gather_refuses_what_does_not_fit() {
    let split = images();
    let mut out = Vec::new();
    let identity = Normalization::default();
    let error = split
        .gather(&[0, 3], &identity, None, &mut out)
        .unwrap_err();
    assert!(
        matches!(error, DataError::OutOfRange { index: 3, len: 3 }),
        "{error}"
    );
    for normalization in [
        Normalization {
            mean: vec![0.0],
            std: vec![1.0],
        },
        Normalization {
            mean: vec![0.0; 3],
            std: vec![1.0, 0.0, 1.0],
        },
        Normalization {
            mean: vec![0.0, f64::NAN, 0.0],
            std: vec![1.0; 3],
        },
    ] {
        assert!(matches!(
            split.gather(&[0], &normalization, None, &mut out),
            Err(DataError::Config(_))
        ));
    }
}

#[test]
fn an_augmented_sample_does_not_depend_on_its_batch() {
    let shape = Shape::Image {
        channels: 1,
        height: 8,
        width: 8,
    };
    let pixels: Vec<u8> = (0..64 * 6).map(|i| (i * 37 % 256) as u8).collect();
    let split = Split::new(shape, Features::Bytes(pixels), Targets::Classes(vec![0; 6])).unwrap();
    let augmentation = Augmentation {
        pad_crop: 2,
        horizontal_flip: true,
        ..Augmentation::default()
    };
    let gather = |indices: &[usize], epoch| {
        let mut out = Vec::new();
        let key = AugmentationKey { seed: 3, epoch };
        split
            .gather(
                indices,
                &Normalization::default(),
                Some((&augmentation, key)),
                &mut out,
            )
            .unwrap();
        out
    };
    let together = gather(&[5, 1, 3, 0], 0);
    for (position, index) in [5, 1, 3, 0].into_iter().enumerate() {
        assert_eq!(
            together[64 * position..64 * (position + 1)],
            gather(&[index], 0)
        );
    }
    let all: Vec<usize> = (0..6).collect();
    assert!(gather(&all, 0) != gather(&all, 1));
}

#[test]
fn parts_of_a_split() {
    let split = images();
    let two = split.clone().take(2);
    assert_eq!(
        (two.len(), two.class(1), two.class(2), two.pixels(2)),
        (2, Some(1), None, None)
    );
    assert_eq!(split.clone().take(99), split);
    let picked = split.subset(&[2, 2, 0]).unwrap();
    assert_eq!(picked.targets(), &Targets::Classes(vec![2, 2, 0]));
    assert_eq!(picked.pixels(1), split.pixels(2));
    assert!(matches!(
        split.subset(&[3]),
        Err(DataError::OutOfRange { index: 3, len: 3 })
    ));
}

#[test]
fn moments_of_a_split() {
    let moments = Normalization::of(&images());
    for channel in 0..3 {
        let values: Vec<f64> = (0..3)
            .flat_map(|image| {
                images().pixels(image).unwrap()[4 * channel..4 * channel + 4].to_vec()
            })
            .map(|pixel| f64::from(pixel) / 255.0)
            .collect();
        let mean = values.iter().sum::<f64>() / 12.0;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 12.0;
        assert!((moments.mean[channel] - mean).abs() < 1e-6);
        assert!((f64::from(moments.std[channel]) - variance.sqrt()).abs() < 1e-6);
    }
}
