// The list of algorithms, and the choice among them.
#include "conv/algorithm.h"

namespace fastconv {
namespace {

template <class T>
const std::vector<const Algorithm<T>*>& algorithms() {
    static const std::vector<const Algorithm<T>*> list{&fourier_algorithm<T>(), &winograd_algorithm<T>(),
                                                       &planar_algorithm<T>(),  &grouped_algorithm<T>(),
                                                       &im2col_algorithm<T>(),  &direct_algorithm<T>()};
    return list;
}

}  // namespace

std::vector<std::string> algorithm_names() {
    std::vector<std::string> names;
    for (const auto* algorithm : algorithms<float>()) names.push_back(algorithm->name);
    return names;
}

bool algorithm_is_exact(const std::string& name) {
    for (const auto* algorithm : algorithms<float>())
        if (name == algorithm->name) return algorithm->exact;
    return false;
}

bool algorithm_supports(const std::string& name, const ConvGeometry& geometry, Pass pass) {
    for (const auto* algorithm : algorithms<float>())
        if (name == algorithm->name) return algorithm->supports(geometry, pass);
    return false;
}

template <class T>
Choice<T> select(const std::string& operation, const std::string& name, const ConvGeometry& geometry, Pass pass) {
    for (const Algorithm<T>* algorithm : algorithms<T>()) {
        if (name == "auto") {
            if (!algorithm->supports(geometry, pass)) continue;
            if (const char* reason = algorithm->prefers(geometry, pass)) return {algorithm, reason};
        } else if (name == algorithm->name) {
            if (algorithm->supports(geometry, pass)) return {algorithm, "asked for"};
            fail(operation, "algorithm '" + name + "' doesn't support this case");
        }
    }
    std::string names = "'auto'";
    for (const std::string& known : algorithm_names()) names += ", '" + known + "'";
    fail(operation, "algorithm must be one of " + names + ", got '" + name + "'");
}

template Choice<float> select(const std::string&, const std::string&, const ConvGeometry&, Pass);
template Choice<double> select(const std::string&, const std::string&, const ConvGeometry&, Pass);

}  // namespace fastconv
