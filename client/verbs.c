/* SPDX-License-Identifier: Apache-2.0 */

/* One row per verb: its arguments, the options that it takes, what it does. Generic code checks the
 * command line against the row, reaches the daemon and turns failures into words and an exit
 * status; a verb holds only what is its own. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "call.h"
#include "cleanup.h"
#include "fields.h"
#include "interface.h"
#include "json-scan.h"
#include "json-text.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "render.h"
#include "timeline.h"
#include "utf8.h"
#include "verbs.h"

#define CONNECT_TIMEOUT  (5 * NSEC_PER_SEC)
#define CALL_TIMEOUT     (45 * NSEC_PER_SEC) /* as varlinkctl */
#define DEADLINE_GRACE   (10 * NSEC_PER_SEC) /* for an answer that its deadline has made due */
#define BENCH_QUESTION   "What's happening now?"
#define TIMELINE_NESTING 512

typedef struct Context {
        const Options *options;
        char **arguments; /* of the verb; behind the last one is NULL */
        View view;        /* of stdout */
        const char *socket;
        Caller caller;
} Context;

typedef struct Verb {
        const char *name;
        const char *arguments; /* as shown, a word each; in brackets when it may be left out */
        uint64_t options;      /* besides those that every verb takes */
        int (*run)(Context *context);
        const char *help;
} Verb;

/* What stands in the way of a connection, and how to clear it. */
static const struct {
        int error;
        const char *remedy;
} obstacles[] = {
        { ENOENT, "start it with: systemctl start musterd.socket" },
        { ECONNREFUSED,
          "nobody listens there; try: systemctl restart musterd.socket musterd.service" },
        { EACCES, "use sudo, or have yourself added to the group muster-clients" },
        { EAGAIN, "it takes no more connections now; see: systemctl status musterd.service" },
        { ENAMETOOLONG, "a socket's path may have 107 bytes; give a shorter one with --socket=" },
        { ENOTSOCK, "give the path of musterd's socket with --socket=" },
        { ETIMEDOUT, "it did not answer in time; see: systemctl status musterd.service" },
        { ECONNRESET, "it went away before it answered; see: journalctl -u musterd.service" },
        { EPIPE, "it went away before it answered; see: journalctl -u musterd.service" },
        { EBADMSG, "what came is no answer of musterd; is this its socket?" },
        { EMSGSIZE, "the message is over 16 MiB; ask fewer sources" },
};

static int fail_internally(int error) {
        complain("%s", strerrordesc_np(-error));
        return STATUS_FAILED;
}

static int fail_to_reach(const Context *context, int error) {
        const char *remedy = "see: systemctl status musterd.service";

        if (error == -ENOMEM)
                return fail_internally(error);
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                if (obstacles[i].error == -error)
                        remedy = obstacles[i].remedy;
        complain("cannot reach musterd at %s: %s; %s", context->socket, strerrordesc_np(-error),
                 remedy);
        return STATUS_UNREACHABLE;
}

static int fail_with_refusal(const Reply *reply) {
        CLEANUP_FREE char *text = render_error(reply->error, reply->parameters);

        complain("%s", text ? text : reply->error);
        return STATUS_FAILED;
}

static int connect_to_daemon(Context *context) {
        int r = caller_open(&context->caller, context->socket, CONNECT_TIMEOUT);

        return r < 0 ? fail_to_reach(context, r) : 0;
}

/* Takes what is needed only once; an exit status, or 0 with the reply. */
static int call(Context *context, const char *method, const json_t *parameters, uint64_t timeout_ns,
                Reply *ret) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        int r = caller_call(&context->caller, method, parameters, timeout_ns, &reply);

        if (r < 0)
                return fail_to_reach(context, r);
        if (reply.error)
                return fail_with_refusal(&reply);
        *ret = reply;
        reply = (Reply){ 0 };
        return 0;
}

/* Writes what `r` says has been rendered. An exit status. */
static int finish(const Context *context, Buffer *out, int r, bool page) {
        bool paged = page && !(context->options->given & OPTION_BIT(NO_PAGER));

        if (r >= 0)
                r = output_write(out, &context->view, paged);
        buffer_deinit(out);
        if (r == -ENOMEM)
                return fail_internally(r);
        if (r < 0) {
                complain("cannot write the output: %s", strerrordesc_np(-r));
                return STATUS_FAILED;
        }
        return STATUS_SUCCESS;
}

static int finish_json(const Context *context, const char *text, size_t size) {
        Buffer out = BUFFER_INIT(0);

        json_text_format(&out, text, size, context->options->json == JSON_PRETTY);
        (void) buffer_append_char(&out, '\n');
        return finish(context, &out, out.error, /* page= */ false);
}

/* A call whose reply is shown, and nothing else. */
static int
call_and_show(Context *context, const char *method, const json_t *parameters,
              int (*render)(Buffer *, const View *, const json_t *)) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        Buffer out = BUFFER_INIT(0);
        int r;

        r = connect_to_daemon(context);
        if (r == 0)
                r = call(context, method, parameters, CALL_TIMEOUT, &reply);
        if (r != 0)
                return r;
        if (context->options->json != JSON_OFF)
                return finish_json(context, reply.text, reply.size);
        r = render(&out, &context->view, reply.parameters);
        return finish(context, &out, r, /* page= */ true);
}

/* Parameters of Query and Explain: what was given, the daemon knows the rest. NULL: no memory. */
static json_t *query_parameters(const Options *options, const char *question) {
        const struct {
                uint64_t bit;
                const char *name;
                uint64_t value;
        } numbers[] = {
                { OPTION_BIT(DEADLINE), "deadline_ms", options->deadline_ms },
                { OPTION_BIT(MAX_PASSAGES), "max_passages", options->max_passages },
                { OPTION_BIT(QUORUM), "quorum", options->quorum },
        };
        json_t *parameters = json_pack(
                        "{s:s, s:O*, s:O*, s:s*, s:s*, s:s*}", "question", question, "sources",
                        options->sources, "parameters", options->parameters, "policy",
                        options->policy, "cache", options->cache, "priority", options->priority);
        int r = parameters ? 0 : -1;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(numbers); i++)
                if (options->given & numbers[i].bit)
                        r = json_object_set_new(
                                        parameters, numbers[i].name,
                                        json_integer((json_int_t) numbers[i].value));
        if (r < 0) {
                json_decref(parameters);
                return NULL;
        }
        return parameters;
}

/* Without --deadline= the daemon's own counts, which is not known here: Ctrl-C ends the wait. */
static uint64_t query_timeout(const Options *options) {
        if (options->deadline_ms == 0 || options->deadline_ms > TIME_INFINITY / NSEC_PER_MSEC)
                return TIME_INFINITY;
        return time_add(options->deadline_ms * NSEC_PER_MSEC, DEADLINE_GRACE);
}

/* The query on a terminal. Its sources are asked for first; if that fails, the query itself will
 * say why. */
static int call_with_progress(Context *context, const json_t *parameters, Reply *ret) {
        CLEANUP(progress_deinit) Progress progress = { 0 };
        CLEANUP(reply_deinit) Reply plan = { 0 }, reply = { 0 };
        int r, signal_number = 0;

        r = caller_call(&context->caller, "io.muster.Explain", parameters, CALL_TIMEOUT, &plan);
        if (r < 0)
                return fail_to_reach(context, r);
        r = progress_init(&progress, plan.parameters);
        if (r < 0)
                return fail_internally(r);
        r =
                        progress_query(&context->caller, parameters, &progress, STDERR_FILENO,
                                       &reply, &signal_number);
        if (r == -EINTR) {
                caller_close(&context->caller); /* cancels the query */
                (void) raise(signal_number);
        }
        if (r < 0)
                return fail_to_reach(context, r);
        if (reply.error)
                return fail_with_refusal(&reply);
        context->view = view_of(STDOUT_FILENO); /* the window may have another size by now */
        *ret = reply;
        reply = (Reply){ 0 };
        return 0;
}

static bool on_a_terminal(const Context *context) {
        return context->view.terminal && view_of(STDERR_FILENO).terminal;
}

static int show_answer(const Context *context, const Reply *reply) {
        const json_t *timeline = json_object_get(reply->parameters, "timeline");
        Buffer out = BUFFER_INIT(0);
        int r;

        if (context->options->json != JSON_OFF)
                return finish_json(context, reply->text, reply->size);
        r = render_answer(&out, &context->view, reply->parameters);
        if (r >= 0 && (context->options->given & OPTION_BIT(TIMELINE))) {
                (void) buffer_append_char(&out, '\n');
                r = timeline_render(&out, &context->view, timeline);
                if (r == -EINVAL) {
                        complain("the answer has no timeline that could be drawn");
                        r = 0;
                }
        }
        return finish(context, &out, r, /* page= */ false);
}

static int verb_query(Context *context) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        json_t *parameters = query_parameters(context->options, context->arguments[0]);
        int r;

        if (!parameters)
                return fail_internally(-ENOMEM);
        r = connect_to_daemon(context);
        if (r == 0 && on_a_terminal(context))
                r = call_with_progress(context, parameters, &reply);
        else if (r == 0)
                r = call(context, "io.muster.Query", parameters, query_timeout(context->options),
                         &reply);
        json_decref(parameters);
        if (r != 0)
                return r;
        r = show_answer(context, &reply);
        return r == 0 && !field_true(reply.parameters, "success") ? STATUS_FAILED : r;
}

static int verb_explain(Context *context) {
        json_t *parameters = query_parameters(context->options, context->arguments[0]);

        if (!parameters)
                return fail_internally(-ENOMEM);
        int r = call_and_show(context, "io.muster.Explain", parameters, render_explain);
        json_decref(parameters);
        return r;
}

static int verb_status(Context *context) {
        return call_and_show(context, "io.muster.GetStatus", NULL, render_status);
}

static int verb_sources(Context *context) {
        return call_and_show(context, "io.muster.ListSources", NULL, render_sources);
}

static int verb_source(Context *context) {
        json_t *parameters = json_pack("{s:s}", "source", context->arguments[0]);

        if (!parameters)
                return fail_internally(-ENOMEM);
        int r = call_and_show(context, "io.muster.DescribeSource", parameters, render_source);
        json_decref(parameters);
        return r;
}

static int verb_breaker(Context *context) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        const char *source = context->arguments[0], *state = context->arguments[1];
        Buffer out = BUFFER_INIT(0);

        if (interface_value("BreakerSetting", state) < 0) {
                complain("breaker: %s is none of auto, open, closed", state);
                return STATUS_USAGE;
        }
        json_t *parameters = json_pack("{s:s, s:s}", "source", source, "state", state);
        if (!parameters)
                return fail_internally(-ENOMEM);
        int r = connect_to_daemon(context);
        if (r == 0)
                r = call(context, "io.muster.SetBreaker", parameters, CALL_TIMEOUT, &reply);
        json_decref(parameters);
        if (r != 0)
                return r;
        if (context->options->json != JSON_OFF)
                return finish_json(context, reply.text, reply.size);
        render_breaker(&out, &context->view, source, state);
        return finish(context, &out, out.error, /* page= */ false);
}

static int verb_flush_cache(Context *context) {
        return call_and_show(context, "io.muster.FlushCache", NULL, render_flush);
}

static int show_event(const Context *context, const Reply *reply) {
        Buffer out = BUFFER_INIT(0);

        if (context->options->json != JSON_OFF)
                return finish_json(context, reply->text, reply->size);
        int r = render_event(&out, &context->view, reply->parameters);
        return finish(context, &out, r, /* page= */ false);
}

/* Until the daemon stops or goes away, which is a failure, since it does not end by the user's
 * wish: that comes as a signal. */
static int verb_monitor(Context *context) {
        int status = connect_to_daemon(context);
        int r = status == 0 ? caller_send(&context->caller, "io.muster.Monitor", NULL, true) : 0;

        while (status == 0 && r >= 0) {
                CLEANUP(reply_deinit) Reply reply = { 0 };

                r = caller_receive(&context->caller, TIME_INFINITY, &reply);
                if (r == -EINTR)
                        r = 0;
                else if (r >= 0)
                        status = reply.error ? fail_with_refusal(&reply) :
                                               show_event(context, &reply);
        }
        return status != 0 ? status : fail_to_reach(context, r);
}

/* The whole of FILE, or of standard input. */
static int read_file(const char *path, Buffer *ret) {
        bool standard = !path || strcmp(path, "-") == 0;
        CLEANUP_FCLOSE FILE *file = standard ? fdopen(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), "re") :
                                               fopen(path, "re");

        if (!file)
                return -errno;
        for (;;) {
                if (buffer_reserve(ret, MIN((size_t) 65536, ret->limit - ret->size)) < 0)
                        return ret->error;
                size_t room = ret->capacity - ret->size;
                size_t n = fread(ret->data + ret->size, 1, room, file);

                ret->size += n;
                if (n > 0 && ret->size == ret->limit)
                        return -EMSGSIZE;
                if (n == 0)
                        return ferror(file) ? -errno : 0;
        }
}

/* Finds the timeline in the text of an answer, or of a reply that holds one. */
static int find_timeline(const Buffer *file, const char **ret, size_t *ret_size) {
        const char *text = file->data;
        size_t size = file->size;

        if (json_scan(text, size, TIMELINE_NESTING, NULL) < 0)
                return -EBADMSG;
        if (json_text_member(text, size, "timeline", ret, ret_size) >= 0)
                return 0;
        if (json_text_member(text, size, "parameters", &text, &size) < 0)
                return -ENOENT;
        return json_text_member(text, size, "timeline", ret, ret_size);
}

static int show_timeline(const Context *context, const char *text, size_t size) {
        Buffer out = BUFFER_INIT(0);
        json_t *timeline = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        int r = timeline_render(&out, &context->view, timeline);

        json_decref(timeline);
        if (r == -EINVAL) {
                buffer_deinit(&out);
                complain("the timeline in it is no list of spans with start_ms and end_ms");
                return STATUS_FAILED;
        }
        return finish(context, &out, r, /* page= */ false);
}

static int verb_timeline(Context *context) {
        CLEANUP(buffer_deinit) Buffer file = BUFFER_INIT(CALL_MESSAGE_MAX);
        const char *name = context->arguments[0], *text = NULL;
        bool standard = !name || strcmp(name, "-") == 0;
        size_t size = 0;
        int r;

        if (!name && isatty(STDIN_FILENO)) {
                complain("give a FILE, or pipe an answer in: musterctl --json=short query QUESTION "
                         "| musterctl timeline");
                return STATUS_USAGE;
        }
        name = standard ? "standard input" : name;
        r = read_file(context->arguments[0], &file);
        if (r < 0) {
                complain("cannot read %s: %s", name, strerrordesc_np(-r));
                return STATUS_FAILED;
        }
        r = find_timeline(&file, &text, &size);
        if (r < 0) {
                complain("%s is no answer with a timeline; musterctl --json=short query QUESTION "
                         "writes one",
                         name);
                return STATUS_FAILED;
        }
        if (context->options->json != JSON_OFF)
                return finish_json(context, text, size);
        return show_timeline(context, text, size);
}

/* The names of all enabled sources; NULL after a failure, whose exit status is in *ret_status. */
static json_t *enabled_sources(Context *context, int *ret_status) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        json_t *names = json_array();

        *ret_status = call(context, "io.muster.ListSources", NULL, CALL_TIMEOUT, &reply);
        const json_t *list = json_object_get(reply.parameters, "sources");

        for (size_t i = 0; *ret_status == 0 && i < json_array_size(list); i++) {
                const json_t *source = json_array_get(list, i);
                json_t *name = json_object_get(source, "name");

                if (json_is_string(name) && !json_is_false(json_object_get(source, "enabled")))
                        (void) json_array_append(names, name);
        }
        if (*ret_status == 0 && json_array_size(names) == 0) {
                complain("no source is enabled: there is nothing to measure");
                *ret_status = STATUS_FAILED;
        }
        if (*ret_status == 0)
                return names;
        json_decref(names);
        return NULL;
}

static int show_bench(const Context *context, const Bench *bench) {
        Buffer out = BUFFER_INIT(0);

        if (context->options->json == JSON_OFF) {
                int r = bench_render(&out, &context->view, bench);

                return finish(context, &out, r, /* page= */ false);
        }
        json_t *tree = bench_json(bench);
        CLEANUP_FREE char *text =
                        tree ? json_dumps(tree, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

        json_decref(tree);
        return text ? finish_json(context, text, strlen(text)) : fail_internally(-ENOMEM);
}

static int bench_sources(Context *context, json_t *parameters, const json_t *names) {
        CLEANUP(bench_deinit) Bench bench = { 0 };
        CLEANUP(reply_deinit) Reply refusal = { 0 };
        unsigned repeat = (unsigned) context->options->repeat;
        int r = bench_run(&context->caller, parameters, names, repeat, &bench, &refusal);

        status_line(NULL);
        if (r > 0)
                return fail_with_refusal(&refusal);
        if (r < 0)
                return fail_to_reach(context, r);
        r = show_bench(context, &bench);
        return r == 0 && !field_true(bench.joint, "success") ? STATUS_FAILED : r;
}

static int verb_bench(Context *context) {
        const char *question = context->arguments[0] ? context->arguments[0] : BENCH_QUESTION;
        json_t *parameters = query_parameters(context->options, question);
        json_t *names = NULL;
        int r;

        /* A kept answer would tell how fast the cache is. */
        if (json_object_set_new(parameters, "cache", json_string("bypass")) < 0) {
                json_decref(parameters);
                return fail_internally(-ENOMEM);
        }
        r = connect_to_daemon(context);
        if (r == 0 && context->options->sources)
                names = json_incref(context->options->sources);
        else if (r == 0)
                names = enabled_sources(context, &r);
        if (r == 0)
                r = bench_sources(context, parameters, names);
        json_decref(names);
        json_decref(parameters);
        return r;
}

#define EVERYWHERE                                                                        \
        (OPTION_BIT(HELP) | OPTION_BIT(VERSION) | OPTION_BIT(SOCKET) | OPTION_BIT(JSON) | \
         OPTION_BIT(NO_PAGER))
#define SELECTION                                                                             \
        (OPTION_BIT(SOURCE) | OPTION_BIT(PARAM) | OPTION_BIT(DEADLINE) | OPTION_BIT(POLICY) | \
         OPTION_BIT(MAX_PASSAGES))
#define MANNER \
        (OPTION_BIT(QUORUM) | OPTION_BIT(NO_CACHE) | OPTION_BIT(CACHE) | OPTION_BIT(PRIORITY))

static const Verb verbs[] = {
        { "query", "QUESTION", SELECTION | MANNER | OPTION_BIT(TIMELINE), verb_query,
          "Ask the sources and show what they know" },
        { "explain", "QUESTION", SELECTION | MANNER, verb_explain,
          "Show what a query would ask; nothing is sent" },
        { "status", "", 0, verb_status, "Show what musterd is doing" },
        { "sources", "", 0, verb_sources, "List the sources" },
        { "source", "NAME", 0, verb_source, "Show one source: configuration and counters" },
        { "breaker", "NAME STATE", 0, verb_breaker, "Set a source's breaker to auto, open or closed" },
        { "flush-cache", "", 0, verb_flush_cache, "Drop all answers that are kept" },
        { "monitor", "", 0, verb_monitor, "Show what happens, as it happens" },
        { "timeline", "[FILE]", 0, verb_timeline,
          "Draw an answer's JSON from FILE or standard input" },
        { "bench", "[QUESTION]", SELECTION | OPTION_BIT(REPEAT), verb_bench,
          "Time the sources one by one and together" },
};

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

static int show_help(void) {
        Buffer out = BUFFER_INIT(0);
        char left[64];

        (void) buffer_append_string(
                        &out,
                        "Usage: musterctl [OPTION...] VERB\n\n"
                        "Asks musterd, which gathers what many sources know about a question.\n\nVerbs:\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                (void) snprintf(left, sizeof(left), "  %s %s", verbs[i].name, verbs[i].arguments);
                (void) buffer_printf(&out, "%-27s%s\n", left, verbs[i].help);
        }
        (void) buffer_append_string(&out, "\nOptions:\n");
        options_help(&out, (UINT64_C(1) << OPTION_COUNT) - 1);
        (void) buffer_append_string(
                        &out,
                        "\nThe socket is " SOCKET_DEFAULT ", unless MUSTER_SOCKET in the\n"
                        "environment or --socket= names another. musterctl VERB --help lists the options\n"
                        "of one verb.\n"
                        "Exit status: 0 success, 1 the query failed or was refused, 2 usage, 3 musterd\n"
                        "cannot be reached. More in musterctl(1).\n");
        Context context = { .options = &(Options){ 0 } };
        return finish(&context, &out, out.error, /* page= */ false);
}

static int show_verb_help(const Verb *verb) {
        Buffer out = BUFFER_INIT(0);

        (void) buffer_printf(
                        &out, "Usage: musterctl [OPTION...] %s%s%s\n\n%s.\n\nOptions:\n",
                        verb->name, *verb->arguments ? " " : "", verb->arguments, verb->help);
        options_help(&out, (EVERYWHERE & ~OPTION_BIT(VERSION)) | verb->options);
        Context context = { .options = &(Options){ 0 } };
        return finish(&context, &out, out.error, /* page= */ false);
}

/* The most that it takes, and the least. */
static size_t count_arguments(const Verb *verb, size_t *ret_least) {
        const char *word = verb->arguments;
        size_t n = 0;

        for (*ret_least = 0; *word; n++) {
                *ret_least += *word != '[';
                word += strcspn(word, " ");
                word += strspn(word, " ");
        }
        return n;
}

static bool words_valid(const Options *options) {
        for (size_t i = 0; i < options->n_words; i++)
                if (!utf8_valid(options->words[i], strlen(options->words[i])))
                        return false;
        return true;
}

/* A verb with all that it needs, or STATUS_USAGE and a word why not. */
static int check_usage(const Options *options, const Verb **ret_verb) {
        const char *name = options->n_words > 0 ? options->words[0] : NULL;
        const Verb *verb = name ? find_verb(name) : NULL;

        if (!name) {
                complain("what shall be done? musterctl --help lists the verbs");
                return STATUS_USAGE;
        }
        if (!verb) {
                complain("there is no verb %s; musterctl --help lists them", name);
                return STATUS_USAGE;
        }
        uint64_t strange = options->given & ~(EVERYWHERE | verb->options);
        size_t n = options->n_words - 1, least, most = count_arguments(verb, &least);

        if (strange != 0)
                complain("%s does not go with %s; musterctl %s --help lists what does",
                         options_name(strange), name, name);
        else if (n > most)
                complain("%s: one argument too many: %s%s", name, options->words[1 + most],
                         most > 0 ? " (quote an argument of several words)" : "");
        else if (n < least && !(options->given & OPTION_BIT(HELP)))
                complain("%s needs %s; musterctl %s --help tells more", name, verb->arguments, name);
        else if (!words_valid(options))
                complain("%s: the argument is not UTF-8", name);
        else {
                *ret_verb = verb;
                return 0;
        }
        return STATUS_USAGE;
}

static int run_verb(const Verb *verb, const Options *options) {
        const char *environment = getenv("MUSTER_SOCKET");
        Context context = {
                .options = options,
                .arguments = options->words + 1,
                .view = view_of(STDOUT_FILENO),
                .socket = options->socket                   ? options->socket :
                                environment && *environment ? environment :
                                                              SOCKET_DEFAULT,
                .caller = CALLER_NULL,
        };
        int status = verb->run(&context);

        caller_close(&context.caller);
        return status;
}

int musterctl_run(int argc, char *argv[]) {
        CLEANUP(options_deinit) Options options = { 0 };
        const Verb *verb = NULL;
        int r = options_parse(argc, argv, &options);

        if (r == -ENOMEM)
                return fail_internally(r);
        if (r < 0)
                return STATUS_USAGE;
        if (options.given & OPTION_BIT(VERSION)) {
                Buffer out = BUFFER_INIT(0);
                Context context = { .options = &options };

                (void) buffer_append_string(&out, "musterctl " MUSTER_VERSION "\n");
                return finish(&context, &out, out.error, /* page= */ false);
        }
        if ((options.given & OPTION_BIT(HELP)) && options.n_words == 0)
                return show_help();
        r = check_usage(&options, &verb);
        if (r != 0)
                return r;
        if (options.given & OPTION_BIT(HELP))
                return show_verb_help(verb);
        return run_verb(verb, &options);
}
