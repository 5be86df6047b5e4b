/*
 * Trained granule models in C and C++: load a model file, predict, step a recurrent state.
 *
 * Every function may be called from any thread, and several at once with one model. A function that returns a
 * granule_status returns GRANULE_OK, or says with granule_last_error() what was wrong. Buffers that are read must not
 * overlap those that are written.
 */

#ifndef GRANULE_H
#define GRANULE_H

/* Written by cbindgen: cargo run --manifest-path crates/granule-c/header/Cargo.toml */

#include <stddef.h>
#include <stdint.h>

/*
 What a function answers.
 */
typedef enum granule_status {
  /*
   All went well.
   */
  GRANULE_OK = 0,
  /*
   A pointer is NULL, or not aligned.
   */
  GRANULE_NULL_POINTER = 1,
  /*
   A path is not UTF-8.
   */
  GRANULE_NOT_UTF8 = 2,
  /*
   A length or a count is not the one that is needed.
   */
  GRANULE_LENGTH = 3,
  /*
   A value is not finite, or one that the model does not take.
   */
  GRANULE_VALUE = 4,
  /*
   The model cannot be read, or is damaged.
   */
  GRANULE_FILE = 5,
  /*
   The model has no such thing: a step of one that is not recurrent.
   */
  GRANULE_MODEL = 6,
  /*
   Computing failed.
   */
  GRANULE_COMPUTE = 7,
  /*
   A fault of this library.
   */
  GRANULE_PANIC = 8,
  /*
   What is written lies over what is read, or over something else that is written.
   */
  GRANULE_OVERLAP = 9,
} granule_status;

/*
 A loaded model. It does not change: any number of threads may use it at once.
 */
typedef struct granule_model granule_model;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this library, as "0.1.0".
 */
const char *granule_version(void);

/*
 What the last function of this thread that failed found wrong, in UTF-8; "" before. It is valid until the next one fails
 in this thread.
 */
const char *granule_last_error(void);

/*
 Loads the model of a file, a checkpoint or the folder of a run, whose path is UTF-8, on the CPU. `*out` is NULL after a
 failure, else for granule_free.

 # Safety

 `path` is NULL or ends in a zero, `out` is NULL or may be written.
 */
enum granule_status granule_load(const char *path,
                                 struct granule_model **out);

/*
 Loads the content of a model file. The bytes are not needed afterwards.

 # Safety

 `bytes` is NULL or of `len` bytes, `out` is NULL or may be written.
 */
enum granule_status granule_load_bytes(const uint8_t *bytes, size_t len, struct granule_model **out);

/*
 Ends a model. NULL is nothing.

 # Safety

 `model` is NULL or of granule_load, no other thread uses it, and nothing does afterwards.
 */
void granule_free(struct granule_model *model);

/*
 The model in JSON: {"model": its kind, "input": its shape, "values": how many of one sample, "outputs": how many,
 "classes": their names or null, "step": {"inputs", "outputs", "state", "dt_ms"} or null}. It lives as long as the model;
 NULL where the model is.

 # Safety

 `model` is NULL or of granule_load.
 */
const char *granule_describe(const struct granule_model *model);

/*
 Writes the dimensions of one sample, at most three: channels, height and width of an image, the length of a vector, steps
 and channels of a sequence. Returns how many there are; 0 after a failure.

 # Safety

 `model` is NULL or of granule_load, `dims` is NULL or of three values.
 */
size_t granule_input_dims(const struct granule_model *model,
                          size_t *dims);

/*
 The values of one sample; 0 where the model is NULL.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_input_len(const struct granule_model *model);

/*
 The values that the model answers a sample with: a probability for each class, or real values.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_output_len(const struct granule_model *model);

/*
 The number of classes; 0 of a model of real values.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_class_count(const struct granule_model *model);

/*
 The name of a class, in UTF-8; it lives as long as the model. NULL where there is none of this index.

 # Safety

 `model` is NULL or of granule_load.
 */
const char *granule_class_name(const struct granule_model *model, size_t index);

/*
 Answers `samples` samples of pixels from 0 to 255 (channel, row, column), one after the other in `pixels`, whose length
 is `len`: for each, granule_output_len values into `out`, whose length is `out_len` and which lies elsewhere. Of a
 classifier they are probabilities.

 # Safety

 `model` is NULL or of granule_load, the other pointers are NULL or of so many values.
 */
enum granule_status granule_predict_pixels(const struct granule_model *model,
                                           const uint8_t *pixels,
                                           size_t len,
                                           size_t samples,
                                           float *out,
                                           size_t out_len);

/*
 As granule_predict_pixels, of values before normalisation: features, or intensities of an image from 0 to 1.

 # Safety

 As of granule_predict_pixels.
 */
enum granule_status granule_predict_values(const struct granule_model *model,
                                           const float *values,
                                           size_t len,
                                           size_t samples,
                                           float *out,
                                           size_t out_len);

/*
 The values of the input of one step of a recurrent model; 0 of any other.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_step_input_len(const struct granule_model *model);

/*
 The values that a recurrent model gives at a step; 0 of any other.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_step_output_len(const struct granule_model *model);

/*
 The values of the state of a recurrent model; 0 of any other.

 # Safety

 `model` is NULL or of granule_load.
 */
size_t granule_state_len(const struct granule_model *model);

/*
 Writes the state before the first step.

 # Safety

 `model` is NULL or of granule_load, `state` is NULL or of `state_len` values.
 */
enum granule_status granule_initial_state(const struct granule_model *model, float *state, size_t state_len);

/*
 Takes a state one step on under an input of granule_step_input_len values, and writes what the model gives after it:
 real values on their own scale, logits of a classifier. The state belongs to the caller; a step that fails leaves it as
 it was. After the first step of a thread it asks for no memory; where a step is work for several threads, their queue may.
 Input, state and out are three places that do not overlap.

 # Safety

 `model` is NULL or of granule_load, the other pointers are NULL or of so many values; `input` may be NULL where its
 length is 0.
 */
enum granule_status granule_step(const struct granule_model *model,
                                 const float *input,
                                 size_t input_len,
                                 float *state,
                                 size_t state_len,
                                 float *out,
                                 size_t out_len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GRANULE_H */
