/* SPDX-License-Identifier: MIT */
/*
 * What is to be asked of the server, and who waits for it. A job is found by what it is for, so
 * that all who want one body share one RETR. Knows neither sockets nor time.
 *
 * A job lives in one list at a time: queued (one list a class) or in flight (in the order of issue,
 * which is the order of answers).
 */
#ifndef SYNC_JOB_H
#define SYNC_JOB_H

#include "header.h"
#include "popfs/sync.h"
#include "schedule.h"

enum job_kind {
    JOB_BODY,   /* RETR */
    JOB_HEADER, /* TOP n 0 */
    JOB_GUESS,  /* the same, before it is known which message n is */
    JOB_START,  /* TOP n lines: the start of a large body */
    JOB_STAT,
    JOB_UIDL,
    JOB_LIST,
    JOB_NOOP,
    JOB_MARK, /* see mark.c */
    JOB_DELE,
    JOB_RSET,
    JOB_QUIT,
};

struct job {
    enum job_kind kind;
    enum schedule_class class;
    bool in_flight;
    unsigned attempts;                /* sessions that were lost while it was in flight */
    bool is_lone;                     /* asked with nothing owed, and no marker behind it */
    bool has_begun;                   /* the status of its answer has come */
    bool has_ended;                   /* all of it has come, but it has not been taken yet */
    struct header header;             /* that came so, of HEADER */
    char *refusal;                    /* that came so; NULL: it was none */
    bool came_alone;                  /* MARK: what it is behind had ended when it was asked */
    bool was_doubted;                 /* its size, so that it was asked for again */
    bool is_probed;                   /* another message was fetched to see whether LIST is right */
    bool began_as_status;             /* its first line may be one that answers nothing */
    uint64_t doubted_octets;          /* that came then, as they were sent */
    struct maildrop_message *message; /* one reference; NULL if it is for none */
    size_t removal;                   /* JOB_DELE: which */
    bool proves;           /* JOB_HEADER: asked for as evidence, though the date may be known */
    bool was_wanted;       /* somebody has waited for it, if nobody does any more */
    bool is_alone;         /* asked for again, with nothing else owed */
    unsigned unlike_count; /* bodies that came so, and their header was not TOP's */
    bool is_last_word;     /* JOB_BODY: TOP told nothing of it */
    uint32_t lines;        /* JOB_START */
    uint32_t msgnum;       /* that was asked for last; MARK: 0: by NOOP */
    uint64_t owed_octets;  /* estimated, of the answer */
    struct sync_request *requests;
    struct job *previous, *next; /* list */
    struct job *chain;           /* table */
};

enum { JOB_BUCKETS_COUNT = 4096 };

struct job_list {
    struct job *first, *last;
    size_t count;
};

struct jobs {
    struct job_list queued[SCHEDULE_CLASSES_COUNT];
    struct job_list in_flight;
    uint64_t owed_octets; /* of those in flight */
    size_t waiting_count; /* requests */
    /* Requests that waited for the body of another message: to be looked at anew. */
    struct sync_request *rerouted;
    struct job *table[JOB_BUCKETS_COUNT];
};

/* The job of this kind for the message, queued or in flight; NULL if there is none. */
struct job *jobs_find(const struct jobs *jobs, enum job_kind kind,
                      const struct maildrop_message *message);
/* A new job at the end of its class's queue; NULL for want of memory. `message` may be NULL. */
struct job *jobs_add(struct jobs *jobs, enum job_kind kind, enum schedule_class class,
                     struct maildrop_message *message);
/* The JOB_GUESS turns out to be the JOB_HEADER of this message. */
void jobs_bind(struct jobs *jobs, struct job *job, struct maildrop_message *message);
/* The request waits for the job from now on, which moves to the class if that goes before its own.
 */
void jobs_wait(struct jobs *jobs, struct job *job, struct sync_request *request,
               enum schedule_class class);

void jobs_set_in_flight(struct jobs *jobs, struct job *job, uint64_t owed_octets);
/* `octets` of its answer have come. */
void jobs_note_octets(struct jobs *jobs, struct job *job, uint64_t octets);
/* Answers those who wait for octets of this stream of the message up to `available`. */
void jobs_answer_octets(struct jobs *jobs, const struct maildrop_message *message,
                        const struct sync_stream *stream, uint64_t available, enum fault fault);
/* Those who wait for `from` wait for `to` from now on. */
void jobs_hand_over(struct jobs *jobs, struct job *from, struct job *to);
/* When the first of those asked who wait for another job than this one; INT64_MAX: nobody does. */
int64_t jobs_oldest_of_others_ms(const struct jobs *jobs, const struct job *job);
/* Behind the others of its queue: it has kept them waiting. */
void jobs_yield(struct jobs *jobs, struct job *job);
/* Its answer is about one message: RETR or TOP. */
bool job_is_for_message(const struct job *job);
/* Back to the front of its queue. */
void jobs_requeue(struct jobs *jobs, struct job *job);
/* To the front of those of SCHEDULE_READ, unless it is in flight. */
void jobs_hurry(struct jobs *jobs, struct job *job);
/* Answers all who wait (each gets a descriptor of its own of that of `body`, which stays the
 * caller's) and frees the job. */
/* A request that waits for no job is looked at anew in the next turn. */
void jobs_reroute(struct jobs *jobs, struct sync_request *request);
void jobs_finish(struct jobs *jobs, struct job *job, enum fault fault, struct extent body);
/*
 * Answers requests that were canceled, and those that have waited since before `expired_ms`,
 * with `fault`. A queued job that nobody waits for any more is freed; one in flight goes on,
 * because POP3 cannot take a command back.
 */
void jobs_expire(struct jobs *jobs, int64_t expired_ms, enum fault fault);
/* Answers everybody with `fault`; queued jobs are freed. */
void jobs_fail_waiting(struct jobs *jobs, enum fault fault);
/* Their link is gone and nobody waits for them. */
void jobs_abandon_in_flight(struct jobs *jobs);
/* Frees queued jobs of a class that nobody waits for. */
void jobs_drop_queued(struct jobs *jobs, enum schedule_class class);

#endif
