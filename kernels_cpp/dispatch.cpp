// Dispatcher: the Python callable that stands for a compiled function. A call that a plan answers never enters Python.
#define TRACER_IMPORTS_ARRAY
#include "dispatch.hpp"

#include <structmember.h>

#include <algorithm>

namespace tracer {
namespace {

constexpr size_t MOST_PLANS = 64;

struct Dispatcher {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject* fallback;
    PyObject* dict;
    PyObject* weak_references;
    Py_ssize_t hits, misses;
    std::vector<Plan*>* plans;  // most recently used first
};

// A reference to a plan, which may leave the list while it runs.
class PlanReference {
  public:
    explicit PlanReference(Plan* plan) : plan_(plan) { plan_->incref(); }
    ~PlanReference() { plan_->decref(); }
    PlanReference(const PlanReference&) = delete;
    PlanReference& operator=(const PlanReference&) = delete;
    Plan* operator->() const { return plan_; }
    Plan* get() const { return plan_; }

  private:
    Plan* plan_;
};

Dispatcher* as_dispatcher(PyObject* object) {
    return reinterpret_cast<Dispatcher*>(object);
}

// Runs `body`, which returns a new reference, and turns C++ exceptions into Python's.
template <class Body>
PyObject* guarded(Body&& body) {
    try {
        return body();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

void move_to_front(std::vector<Plan*>& plans, size_t place, const Plan* plan) {
    // A guard may have run code that changed the list.
    if (place > 0 && place < plans.size() && plans[place] == plan) {
        std::rotate(plans.begin(), plans.begin() + place, plans.begin() + place + 1);
    }
}

// The longest plan but for those in `refused` that what is known of the path allows; nullptr if there is none.
Plan* longest_following(const std::vector<Plan*>& plans, const Path& path, const std::vector<Plan*>& refused) {
    Plan* found = nullptr;
    for (Plan* plan : plans) {
        if (plan->has_path() && (found == nullptr || plan->path_length() > found->path_length()) &&
            plan->follows(path) && std::find(refused.begin(), refused.end(), plan) == refused.end()) {
            found = plan;
        }
    }
    return found;
}

// Runs plans of a tree until one has the answers of the call, beginning with `first`. Each run tells more of them: on a
// path of n answers there are at most n + 1 runs, and few where the longest plan is tried next. nullptr without an
// exception if none has them. `held` keeps the plans that are refused: others must not come to their addresses.
PyObject* run_tree(Dispatcher* self, Plan* first, PyObject* const* arguments, Py_ssize_t positional,
                   PyObject* keyword_names) {
    Path path;
    Answers answers;
    std::vector<std::unique_ptr<PlanReference>> held;
    std::vector<Plan*> refused;
    for (Plan* next = first; next != nullptr; next = longest_following(*self->plans, path, refused)) {
        held.push_back(std::make_unique<PlanReference>(next));
        refused.push_back(next);
        Leaves leaves(next->leaf_count());
        if (!next->matches(arguments, positional, keyword_names, leaves, answers)) {
            continue;
        }
        bool refuted = false;
        PyObject* result = next->run_on_path(leaves, path, refuted);
        if (!refuted) {
            const auto place = std::find(self->plans->begin(), self->plans->end(), next);
            move_to_front(*self->plans, static_cast<size_t>(place - self->plans->begin()), next);
            ++self->hits;
            ++next->calls;
            return result;
        }
        if (!path.tree) {
            break;
        }
    }
    return nullptr;
}

PyObject* call(PyObject* object, PyObject* const* arguments, size_t flagged_count, PyObject* keyword_names) {
    Dispatcher* self = as_dispatcher(object);
    const Py_ssize_t positional = PyVectorcall_NARGS(flagged_count);
    return guarded([&]() -> PyObject* {
        Answers answers;
        for (size_t i = 0; i < self->plans->size(); ++i) {
            const PlanReference plan((*self->plans)[i]);
            Leaves leaves(plan->leaf_count());
            if (!plan->matches(arguments, positional, keyword_names, leaves, answers)) {
                continue;
            }
            if (plan->has_path()) {
                PyObject* result = run_tree(self, plan.get(), arguments, positional, keyword_names);
                if (result != nullptr || PyErr_Occurred() != nullptr) {
                    return result;
                }
                break;
            }
            move_to_front(*self->plans, i, plan.get());
            ++self->hits;
            ++plan->calls;
            return plan->run(leaves);
        }
        ++self->misses;
        const py::object fallback = py::reinterpret_borrow<py::object>(self->fallback);
        return PyObject_Vectorcall(fallback.ptr(), arguments, static_cast<size_t>(positional), keyword_names);
    });
}

// Letting go of plans may run any Python code, so they leave the list first.
void release(std::vector<Plan*> plans) {
    for (Plan* plan : plans) {
        plan->decref();
    }
}

PyObject* dispatcher_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
    static const char* const NAMES[] = {"fallback", nullptr};
    PyObject* fallback = nullptr;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O:Dispatcher", const_cast<char**>(NAMES), &fallback)) {
        return nullptr;
    }
    if (!PyCallable_Check(fallback)) {
        PyErr_SetString(PyExc_TypeError, "Dispatcher: the fallback is not callable");
        return nullptr;
    }
    PyObject* object = type->tp_alloc(type, 0);
    if (object != nullptr) {
        Dispatcher* self = as_dispatcher(object);
        self->vectorcall = call;
        self->fallback = Py_NewRef(fallback);
        self->plans = new std::vector<Plan*>();
    }
    return object;
}

int dispatcher_traverse(PyObject* object, visitproc visit, void* arg) {
    Dispatcher* self = as_dispatcher(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->fallback);
    Py_VISIT(self->dict);
    int stopped = 0;
    const auto visit_object = [&](py::object& held) {
        if (stopped == 0 && held) {
            stopped = visit(held.ptr(), arg);
        }
    };
    if (self->plans != nullptr) {
        for (Plan* plan : *self->plans) {
            plan->visit_objects(visit_object);
        }
    }
    return stopped;
}

int dispatcher_clear(PyObject* object) {
    Dispatcher* self = as_dispatcher(object);
    if (self->plans != nullptr) {
        std::vector<Plan*> plans;
        plans.swap(*self->plans);
        release(std::move(plans));
    }
    Py_CLEAR(self->dict);
    return 0;  // the fallback stays, so that a call during the collection still has something to call
}

void dispatcher_dealloc(PyObject* object) {
    Dispatcher* self = as_dispatcher(object);
    PyTypeObject* type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weak_references != nullptr) {
        PyObject_ClearWeakRefs(object);
    }
    dispatcher_clear(object);
    Py_CLEAR(self->fallback);
    delete self->plans;
    type->tp_free(object);
    Py_DECREF(type);
}

PyObject* dispatcher_get(PyObject* object, PyObject* instance, PyObject*) {
    if (instance == nullptr || instance == Py_None) {
        return Py_NewRef(object);
    }
    return PyMethod_New(object, instance);
}

PyObject* dispatcher_add(PyObject* object, PyObject* arguments, PyObject* keywords) {
    static const char* const NAMES[] = {
        "spec",       "kwnames", "program", "captured", "captured_entries", "shared", "shared_entries", "updates",
        "writebacks", "guards",  "outputs", "check",    "on_error",         "token",  "question",       nullptr};
    PyObject* given[15] = {};
    std::fill(given + 11, given + 15, Py_None);
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOOOOOO|OOOO:add", const_cast<char**>(NAMES), &given[0],
                                     &given[1], &given[2], &given[3], &given[4], &given[5], &given[6], &given[7],
                                     &given[8], &given[9], &given[10], &given[11], &given[12], &given[13],
                                     &given[14])) {
        return nullptr;
    }
    return guarded([&]() -> PyObject* {
        const auto borrowed = [&](int i) { return py::reinterpret_borrow<py::object>(given[i]); };
        Plan* plan = new Plan(given[0], given[1], borrowed(2), given[3], given[4], given[5], given[6], given[7],
                              given[8], given[9], given[10], borrowed(11), borrowed(12), borrowed(13), given[14]);
        std::vector<Plan*>& plans = *as_dispatcher(object)->plans;
        plans.insert(plans.begin(), plan);
        if (plans.size() > MOST_PLANS) {
            Plan* oldest = plans.back();
            plans.pop_back();
            oldest->decref();
        }
        return Py_NewRef(Py_None);
    });
}

PyObject* dispatcher_clear_plans(PyObject* object, PyObject*) {
    std::vector<Plan*> plans;
    plans.swap(*as_dispatcher(object)->plans);
    release(std::move(plans));
    return Py_NewRef(Py_None);
}

PyObject* dispatcher_plans(PyObject* object, PyObject*) {
    return guarded([&]() -> PyObject* {
        py::list tokens;
        for (const Plan* plan : *as_dispatcher(object)->plans) {
            tokens.append(plan->token());
        }
        return tokens.release().ptr();
    });
}

PyObject* dispatcher_counts(PyObject* object, PyObject*) {
    return guarded([&]() -> PyObject* {
        py::list counts;
        for (const Plan* plan : *as_dispatcher(object)->plans) {
            counts.append(plan->calls);
        }
        return counts.release().ptr();
    });
}

template <class Function>
PyCFunction as_method(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef METHODS[] = {
    {"add", as_method(dispatcher_add), METH_VARARGS | METH_KEYWORDS,
     "Adds a plan, ahead of the others. The oldest of more than 64 plans is dropped."},
    {"clear", dispatcher_clear_plans, METH_NOARGS, "Drops all plans."},
    {"counts", dispatcher_counts, METH_NOARGS, "How many calls each of the plans answered, in the order of `plans`."},
    {"plans", dispatcher_plans, METH_NOARGS, "The tokens of the plans, most recently used first."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef MEMBERS[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Dispatcher, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Dispatcher, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Dispatcher, weak_references), READONLY, nullptr},
    {"hits", T_PYSSIZET, offsetof(Dispatcher, hits), READONLY, "Calls that a plan answered."},
    {"misses", T_PYSSIZET, offsetof(Dispatcher, misses), READONLY, "Calls that went to the fallback."},
    {"fallback", T_OBJECT_EX, offsetof(Dispatcher, fallback), READONLY, "What is called where no plan matches."},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef PROPERTIES[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot SLOTS[] = {
    {Py_tp_new, reinterpret_cast<void*>(dispatcher_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(dispatcher_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(dispatcher_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(dispatcher_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(dispatcher_get)},
    {Py_tp_methods, METHODS},
    {Py_tp_members, MEMBERS},
    {Py_tp_getset, PROPERTIES},
    {0, nullptr},
};

PyType_Spec SPEC = {"tracer._kernels.Dispatcher", sizeof(Dispatcher), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                        Py_TPFLAGS_METHOD_DESCRIPTOR,
                    SLOTS};

}  // namespace

void bind_dispatch(py::module_& m) {
    if (_import_array() < 0) {
        throw py::error_already_set();
    }
    m.attr("Dispatcher") = py::reinterpret_steal<py::object>(PyType_FromSpec(&SPEC));
}

}  // namespace tracer
