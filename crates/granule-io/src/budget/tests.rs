//! The limit is the process's, so all that set it stand in one test.

use super::*;

#[test]
fn what_is_beyond_all_memory_is_refused_with_its_name() {
    for count in [usize::MAX, usize::MAX / 8, 1 << 60] {
        let error = with_capacity::<f64>(count, "x.npy").unwrap_err();
        assert_eq!(error.what, "x.npy");
        assert!(error.needed > error.available, "{error:?}");
        let mut vec = vec![1.0_f64];
        reserve(&mut vec, count, "x.npy").unwrap_err();
        assert_eq!(vec, [1.0]);
    }
    let there = available().0;
    assert!(there > 1 << 20, "{there}");
    ask("all of it and more", there.saturating_mul(2)).unwrap_err();
}

#[test]
fn a_limit_counts_what_the_process_holds_and_names_the_way_out() {
    filled(1_u8, 1 << 20, "a.bin").unwrap();
    set_limit(Some(ByteSize(0)));
    assert_eq!(available(), ByteSize(0));
    let error = filled(1_u8, 1 << 20, "a.bin").unwrap_err();
    set_limit(None);
    assert_eq!(
        error.to_string(),
        "a.bin: needs 1 MiB of memory, nothing is left within the limit of 0 bytes, which the program itself takes up; \
         use less of the data, smaller pieces, or allow more with --memory or GRANULE_MEMORY"
    );
    assert_eq!(limit(), None);
}

#[test]
fn pieces_are_appended() {
    let mut vec = Vec::new();
    for piece in 0..100_u32 {
        extend(&mut vec, &[piece; 1000], "pieces").unwrap();
    }
    assert_eq!(vec.len(), 100_000);
    assert_eq!(vec.last(), Some(&99));
    assert!(vec.capacity() <= 200_000);
}
