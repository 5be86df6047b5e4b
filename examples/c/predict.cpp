// Predicts in several threads with one model, or takes a recurrent one step by step: predict MODEL.
#include <granule.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static void check(granule_status status) {
    if (status != GRANULE_OK)
        throw std::runtime_error(granule_last_error());
}

using Model = std::unique_ptr<granule_model, decltype(&granule_free)>;

static Model load(const std::string &path) {
    granule_model *model = nullptr;
    check(granule_load(path.c_str(), &model));
    return Model(model, granule_free);
}

// Ten steps under a constant input.
static void step(const granule_model *model) {
    std::vector<float> input(granule_step_input_len(model), 0.5f);
    std::vector<float> state(granule_state_len(model)), output(granule_step_output_len(model));
    check(granule_initial_state(model, state.data(), state.size()));
    for (int i = 0; i < 10; i++) {
        check(granule_step(model, input.data(), input.size(), state.data(), state.size(), output.data(), output.size()));
        for (float value : output)
            std::printf("%.9g ", value);
        std::printf("\n");
    }
}

// In each of four threads a batch of two samples; all answers are the same.
static void predict(const granule_model *model) {
    const size_t samples = 2, width = granule_output_len(model);
    std::vector<float> values(samples * granule_input_len(model), 0.25f);
    std::vector<std::vector<float>> answers(4, std::vector<float>(samples * width));
    std::vector<granule_status> found(answers.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < answers.size(); i++)
        threads.emplace_back([&, i] {
            found[i] = granule_predict_values(model, values.data(), values.size(), samples, answers[i].data(),
                                              answers[i].size());
        });
    for (auto &thread : threads)
        thread.join();
    for (size_t i = 0; i < answers.size(); i++)
        if (found[i] != GRANULE_OK || answers[i] != answers[0])
            throw std::runtime_error("the threads do not agree");
    for (size_t i = 0; i < width; i++)
        std::printf("%.9g ", answers[0][i]);
    std::printf("\n");
}

int main(int argc, char **argv) {
    try {
        if (argc < 2)
            throw std::runtime_error("usage: predict MODEL");
        Model model = load(argv[1]);
        std::printf("%s\n", granule_describe(model.get()));
        granule_state_len(model.get()) > 0 ? step(model.get()) : predict(model.get());
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
