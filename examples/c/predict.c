/* Classifies an image: predict MODEL [IMAGE.pgm]. Without an image it classifies an empty one. */
#include <granule.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, granule_last_error());
    return EXIT_FAILURE;
}

/* Reads a binary PGM of as many pixels as the model takes. */
static int read_image(const char *path, uint8_t *pixels, size_t len) {
    FILE *file = fopen(path, "rb");
    unsigned width, height, largest;
    int good = file != NULL && fscanf(file, "P5 %u %u %u", &width, &height, &largest) == 3 && largest == 255 &&
               fgetc(file) != EOF && (size_t)width * height == len && fread(pixels, 1, len, file) == len;
    if (file != NULL)
        fclose(file);
    return good;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: predict MODEL [IMAGE.pgm]\n");
        return EXIT_FAILURE;
    }
    granule_model *model;
    if (granule_load(argv[1], &model) != GRANULE_OK)
        return failed(argv[1]);
    size_t len = granule_input_len(model), classes = granule_class_count(model);
    uint8_t *pixels = calloc(len, 1);
    float *probabilities = calloc(classes, sizeof *probabilities);
    int result = EXIT_SUCCESS;
    if (pixels == NULL || probabilities == NULL || classes == 0) {
        fprintf(stderr, "%s: not a classifier, or there is no memory\n", argv[1]);
        result = EXIT_FAILURE;
    } else if (argc > 2 && !read_image(argv[2], pixels, len)) {
        fprintf(stderr, "%s: not a binary PGM of %zu pixels\n", argv[2], len);
        result = EXIT_FAILURE;
    } else if (granule_predict_pixels(model, pixels, len, 1, probabilities, classes) != GRANULE_OK) {
        result = failed("cannot predict");
    } else {
        for (size_t i = 0; i < classes; i++)
            printf("%s %.9g\n", granule_class_name(model, i), probabilities[i]);
    }
    free(probabilities);
    free(pixels);
    granule_free(model);
    return result;
}
