//! Names the builds that have kernels for GPUs `gpu`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(gpu)");
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if (has("WGPU") || has("CUDA")) && !has("FUSION") {
        println!("cargo::rustc-cfg=gpu");
    }
}
