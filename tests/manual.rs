//! Every sentence of the manual about the running program, with the tests that
//! hold it to its word; then the same for the list of what the original does
//! and its manual does not say. That each of them is there is tested here.
//!
//! Installation is not for these tests.

#[path = "common/named.rs"]
mod named;

use named::all_tests;

type Promise = (&'static str, &'static [&'static str]);

const MANUAL: &[Promise] = &[
    // About
    (
        "it can also run as process 1 inside a container",
        &[
            "as_process_1_it_stays_in_the_foreground",
            "as_process_1_it_reaps_ten_thousand_orphans",
            "as_process_1_it_ends_all_jobs_on_sigterm",
            "as_process_1_it_lets_what_jobs_have_left_end_by_itself",
            "as_process_1_it_kills_what_jobs_have_left_after_10_s",
            "as_process_1_it_needs_no_proc_no_syslog_and_no_writable_root",
        ],
    ),
    (
        "when pmtr is started, it starts all the jobs in pmtr.conf",
        &["all_jobs_are_started_in_the_order_of_the_file"],
    ),
    ("pmtr terminates them when it is stopped", &["sigterm_ends_pmtr_and_all_that_it_started"]),
    ("if a job exits, pmtr restarts it", &["a_job_that_lived_for_10_s_is_restarted_at_once"]),
    (
        "if it exits too quickly, pmtr delays its restart 10 seconds",
        &["a_job_that_exited_within_10_s_is_restarted_10_s_later"],
    ),
    (
        "if the operator saves pmtr.conf, the changes take effect immediately",
        &["from_save_to_effect_is_under_60_ms"],
    ),
    // Config file
    ("the config file can be changed using -c", &["options_can_be_combined"]),
    ("it consists of zero or more job definitions", &["an_empty_file_has_no_jobs"]),
    (
        "a job must have a name and a cmd; the name is unique",
        &["a_job_needs_a_name_and_a_command_and_the_name_is_unique"],
    ),
    (
        "order and indentation do not matter; blank lines and comments",
        &["order_comments_and_layout_are_no_change"],
    ),
    // cmd
    (
        "the absolute path to the executable, no $PATH searching",
        &["the_path_is_not_searched_for_the_executable"],
    ),
    (
        "it may have arguments after the executable",
        &["cmd_may_have_arguments_after_the_executable"],
    ),
    ("double quotes make one argument", &["double_quotes_make_one_argument"]),
    ("no shell expansion", &["there_is_no_shell_expansion"]),
    ("a quoted string as a shell script", &["a_quoted_string_can_be_a_shell_script"]),
    // dir, env, disable
    ("dir: the working directory", &["dir_is_the_working_directory"]),
    ("env: push a variable into a job; repeatable", &["env_pushes_variables_into_the_job"]),
    ("disable on a line by itself", &["disable_on_a_line_by_itself_disables_the_job"]),
    // out, err, in
    ("send stdout or stderr to a file", &["out_and_err_send_output_to_files"]),
    ("they go to syslog by default", &["stdout_and_stderr_go_to_syslog_by_default"]),
    ("stdin defaults to /dev/null", &["stdin_is_dev_null_by_default"]),
    ("in overrides that", &["in_takes_stdin_from_a_file"]),
    // nice, cpu
    ("nice: -19 to 20", &["nice_changes_the_priority", "nice_goes_from_minus_20_to_20"]),
    (
        "cpu: number, range, mix, hex mask",
        &["cpu_takes_numbers_ranges_and_a_mask", "cpus_have_to_be_possible"],
    ),
    ("absent CPUs are ignored", &["cpus_that_are_absent_are_ignored"]),
    // user
    (
        "the user's uid and gid become those of the process",
        &["the_users_ids_become_those_of_the_process"],
    ),
    ("defaults to root when pmtr runs as root", &["user_defaults_to_root_when_pmtr_runs_as_root"]),
    // depends
    ("a block of one or more files", &["any_of_several_files_restarts_the_job"]),
    (
        "watched for changes to their content",
        &["a_touch_does_nothing", "the_same_content_written_again_does_nothing"],
    ),
    (
        "the job restarts if a change is detected",
        &["a_dependency_written_in_place_restarts_the_job"],
    ),
    // bounce every
    ("restart a job on a periodic interval", &["bounce_every_restarts_on_a_periodic_interval"]),
    // ulimit
    (
        "takes a flag and a value; soft and hard limit are the same",
        &[
            "ulimit_sets_soft_and_hard_limits_by_flag_and_by_name",
            "ulimit_sets_the_limits_of_memory",
        ],
    ),
    ("numeric or infinity", &["ulimit_values_can_be_infinity_and_unlimited"]),
    ("any error in setting the limit is logged", &["an_error_in_setting_a_limit_is_logged"]),
    // wait, once
    (
        "wait pauses the startup of subsequent jobs",
        &["wait_pauses_the_startup_of_subsequent_jobs", "waiting_jobs_run_one_after_the_other"],
    ),
    ("once tells pmtr not to restart this job", &["once_and_exit_status_33_mean_no_restart"]),
    // Operator notes
    ("a newly added job gets started", &["a_newly_added_job_gets_started"]),
    ("a deleted job is terminated", &["a_deleted_job_is_terminated"]),
    (
        "a changed job is restarted with its new configuration",
        &["a_changed_job_is_restarted_with_its_new_configuration"],
    ),
    (
        "pmtr -t checks the syntax and reports any errors",
        &["t_exits_with_1_for_a_wrong_file_and_reports_every_error"],
    ),
    // Logs
    ("logging goes to syslog", &["own_messages_are_local0_info_with_the_tag_pmtr"]),
    (
        "errors in parsing are logged there, and job start or exit",
        &["start_and_exit_of_jobs_and_errors_in_the_file_are_logged"],
    ),
    // Job exits
    (
        "if a job terminates by itself, pmtr restarts it",
        &["a_job_that_a_signal_ended_is_restarted_as_well"],
    ),
    (
        "terminated when deleted, disabled, altered, bounced, at shutdown",
        &[
            "a_disabled_job_is_terminated_and_an_enabled_one_started",
            "a_change_in_any_option_restarts_the_job",
        ],
    ),
    (
        "SIGTERM, then SIGKILL shortly afterward",
        &[
            "a_job_is_sent_sigterm_then_sigkill_10_s_later",
            "a_job_that_heeds_sigterm_is_not_sent_sigkill",
        ],
    ),
    // Command line options
    ("-h", &["h_shows_help_with_every_option"]),
    (
        "-F, and it is enabled by default when PID 1",
        &["options_can_be_combined", "as_process_1_it_stays_in_the_foreground"],
    ),
    ("-I echo syslog to stderr, enabled by default", &["the_log_is_echoed_to_stderr"]),
    (
        "-t test syntax and exit",
        &["t_exits_with_0_for_a_good_file", "t_starts_and_creates_nothing"],
    ),
    ("-v, -vv shows parsing", &["vv_shows_parsing", "a_running_pmtr_logs_parsing_with_vv"]),
    ("-p make pidfile", &["p_makes_a_pid_file_and_the_end_removes_it"]),
];

const LANGUAGE: &[Promise] = &[
    ("order N", &["order_goes_before_the_order_of_the_file", "order_is_a_number"]),
    (
        "ulimit block, long names, unlimited; -n infinity is refused",
        &["ulimit_takes_a_block", "ulimit_has_a_block_form_long_names_and_two_words_for_infinity"],
    ),
    ("out syslog", &["syslog_is_the_word_for_the_default"]),
    ("nice is -20 to 20", &["nice_goes_from_minus_20_to_20", "nice_changes_the_priority"]),
    ("nice is set for every job", &["nice_is_zero_by_default_whatever_that_of_pmtr_is"]),
    (
        "keywords only as the first word of a line",
        &["keywords_are_plain_words_unless_they_begin_a_line"],
    ),
    (
        "a keyword must be followed by white space; quotes",
        &["a_keyword_must_be_followed_by_white_space", "a_quoted_string_ends_on_its_line"],
    ),
    ("every value may be quoted", &["every_value_may_be_quoted"]),
    ("\\r is white space", &["a_file_with_crlf_works"]),
    ("env needs a =", &["env_needs_a_name_and_an_equals_sign"]),
    (
        "what is repeated",
        &[
            "what_is_repeated_is_an_error",
            "of_some_options_the_last_counts_with_a_warning_that_names_both_lines",
            "some_options_may_be_repeated",
        ],
    ),
    ("name, cmd, unique names", &["a_job_needs_a_name_and_a_command_and_the_name_is_unique"]),
    (
        "impossible CPUs, absent CPUs, 3-3",
        &[
            "cpus_have_to_be_possible",
            "a_job_for_absent_cpus_only_runs_on_any_and_a_warning_says_so",
        ],
    ),
    ("ulimit values have 64 bits", &["ulimit_values_have_64_bits"]),
    (
        "trailing garbage",
        &[
            "numbers_are_numbers_to_their_end",
            "addresses_are_addresses_to_their_end",
            "a_nul_byte_is_an_error",
        ],
    ),
    (
        "arguments may go on in the next lines, with a warning for a misspelt option",
        &[
            "arguments_may_go_on_in_the_next_lines",
            "a_misspelt_option_after_cmd_is_an_argument_and_a_warning",
        ],
    ),
    ("bytes above 0x7f", &["a_file_with_utf_8_works"]),
    (
        "on, to, every, { as arguments or names",
        &["on_to_every_and_a_brace_can_be_arguments_and_names"],
    ),
    (
        "relative depends, out, err, in",
        &["relative_dependencies_start_at_dir", "relative_in_out_and_err_start_at_dir"],
    ),
    (
        "errors name file, line, column and word",
        &[
            "errors_name_file_line_column_and_word_with_a_hint",
            "all_errors_of_a_file_are_told_at_once",
        ],
    ),
];

const RUNNING: &[Promise] = &[
    (
        "exit status 33",
        &[
            "once_and_exit_status_33_mean_no_restart",
            "a_job_that_said_33_is_started_when_it_is_changed",
        ],
    ),
    (
        "out and err: append, 0644",
        &["output_files_are_appended_to", "output_files_are_created_with_mode_0644"],
    ),
    (
        "descriptors 0, 1, 2; signals",
        &["jobs_have_the_descriptors_0_1_and_2_only", "jobs_block_and_ignore_no_signal"],
    ),
    ("umask 022", &["jobs_have_umask_022"]),
    ("supplementary groups", &["the_supplementary_groups_of_the_user_are_set"]),
    (
        "user: also a number, and USER:GROUP",
        &["numbers_and_groups_are_taken_where_names_are", "a_group_is_printed_behind_its_user"],
    ),
    (
        "HOME, USER, LOGNAME, SHELL",
        &["home_user_logname_and_shell_are_those_of_the_user", "env_goes_before_the_users_home"],
    ),
    (
        "HUP reloads; TERM, INT, QUIT end; USR1 does not",
        &[
            "sighup_reloads",
            "sigint_ends_pmtr_and_all_that_it_started",
            "sigquit_ends_pmtr_and_all_that_it_started",
            "sigusr1_does_not_end_pmtr",
        ],
    ),
    (
        "shutdown leaves nothing and leaves at once",
        &[
            "shutdown_waits_for_a_job_that_cleans_up",
            "shutdown_kills_what_ignores_sigterm_after_10_s",
            "shutdown_does_not_start_what_is_due",
        ],
    ),
    (
        "own session, what is left of it gets SIGTERM, then SIGKILL",
        &[
            "each_job_is_a_session_and_a_process_group",
            "what_is_left_of_a_stopped_jobs_group_is_killed",
            "what_is_left_of_a_restarted_jobs_group_is_gone_before_its_next_start",
        ],
    ),
    (
        "children of a job that exits by itself are left alone",
        &[
            "what_a_job_that_exited_by_itself_left_behind_is_left_alone",
            "the_workers_of_a_killed_master_go_before_it_starts_again",
        ],
    ),
    (
        "a wait job holds only later jobs",
        &[
            "edits_are_applied_while_a_wait_job_runs",
            "signals_are_heard_while_a_wait_job_runs",
            "jobs_are_restarted_while_a_wait_job_runs",
            "output_and_ends_of_jobs_are_logged_while_a_wait_job_runs",
        ],
    ),
    ("a clock that cannot be set", &["a_step_of_the_wall_clock_makes_no_restart_late_or_early"]),
    ("a failed fork is tried again", &["a_failed_fork_is_logged_and_tried_again"]),
    (
        "a depends file that is missing",
        &["a_job_whose_dependency_is_missing_starts_when_it_appears"],
    ),
    ("depends compares content", &["a_touch_does_nothing"]),
    ("nice alone restarts", &["a_change_of_nice_alone_restarts_the_job"]),
    (
        "once and changed",
        &[
            "a_running_once_job_that_is_changed_runs_with_its_new_definition",
            "a_running_job_that_becomes_once_runs_once_with_its_new_definition",
        ],
    ),
    ("wait without once: 10 s", &["a_wait_job_without_once_is_restarted_after_10_s_too"]),
    ("stopped to be restarted: at once", &["a_job_stopped_to_be_restarted_starts_at_once"]),
    ("10 s to SIGKILL whatever happens", &["a_job_is_sent_sigterm_then_sigkill_10_s_later"]),
    (
        "two saves",
        &["two_saves_half_a_second_apart_are_both_applied", "the_last_of_many_saves_is_applied"],
    ),
    (
        "a second pmtr, a second pid file",
        &[
            "a_second_pmtr_says_who_holds_the_configuration_and_exits",
            "a_pid_file_of_a_running_pmtr_is_not_taken",
        ],
    ),
    ("without inotify", &["without_inotify_the_files_are_looked_at_now_and_then"]),
    (
        "a refused reload changes nothing",
        &[
            "a_file_with_an_error_changes_nothing_and_says_so",
            "dependencies_are_watched_after_a_refused_edit",
        ],
    ),
    (
        "every way to save",
        &[
            "an_edit_that_renames_the_old_file_to_a_backup_applies",
            "an_edit_that_swaps_a_symlink_applies",
            "an_edit_that_swaps_a_data_directory_applies",
            "a_dependency_whose_data_directory_is_swapped_restarts_the_job",
        ],
    ),
    (
        "exit statuses; -t creates nothing",
        &[
            "a_failing_start_of_a_daemon_is_exit_status_1",
            "t_does_not_create_a_missing_file",
            "wrong_usage_is_exit_status_2_and_says_what_is_wrong",
        ],
    ),
    ("a missing file is created", &["a_missing_configuration_is_created_empty_with_mode_0600"]),
    ("kill -9", &["after_kill_9_a_new_start_runs_every_job_exactly_once"]),
    ("one process, no wake-up", &["pmtr_is_one_process", "no_wake_up_without_a_reason"]),
];

const LOGGING: &[Promise] = &[
    (
        "the words",
        &["the_words_are_those_of_the_original", "every_message_is_of_the_facility_local0"],
    ),
    (
        "job output",
        &[
            "job_output_is_daemon_info_with_the_jobs_name_and_pid",
            "control_characters_become_question_marks",
            "lines_stay_whole_up_to_4_kib",
        ],
    ),
    ("a pipe that the job's user may open", &["the_jobs_user_can_open_dev_stdout_and_dev_stderr"]),
    (
        "echo to stderr",
        &["the_log_is_echoed_to_stderr", "the_echo_is_off_where_stderr_is_the_journals"],
    ),
    (
        "no logger process, the file limit",
        &[
            "pmtr_is_one_process",
            "six_hundred_jobs_run_and_end",
            "the_file_limit_that_pmtr_raises_for_itself_is_put_back_for_jobs",
        ],
    ),
    (
        "a line is a line",
        &[
            "output_is_split_at_newlines_only",
            "a_partial_line_is_sent_when_the_job_ends",
            "a_partial_line_is_sent_after_a_pause",
        ],
    ),
    (
        "a syslog or stderr that does not read",
        &["a_syslog_that_does_not_read_stops_nothing", "a_stderr_that_does_not_read_stops_nothing"],
    ),
    ("start errors name the job", &["a_missing_program_is_told", "an_unknown_user_is_told"]),
];

const UDP: &[Promise] = &[
    // UDP control
    (
        "a UDP packet every ten seconds",
        &["there_is_a_report_at_the_start_and_every_ten_seconds"],
    ),
    (
        "the job names, enabled or disabled status, and elapsed runtimes in simple text",
        &["a_report_is_the_host_and_a_line_a_job"],
    ),
    (
        "a trailing interface, from which the multicast datagrams should egress",
        &[
            "multicast_leaves_by_the_interface_that_is_named",
            "ipv6_multicast_leaves_by_the_interface_that_is_named",
        ],
    ),
    (
        "listen on allows jobs to be remotely enabled or disabled",
        &["a_job_is_disabled_and_enabled_and_that_is_reported_soon"],
    ),
    (
        "0.0.0.0 denotes any address on this system",
        &["a_port_can_go_from_one_address_to_another"],
    ),
    (
        "the settings in pmtr.conf resume precedence when it's edited or pmtr is restarted",
        &["the_effect_ends_at_the_next_good_reload", "the_effect_ends_at_a_restart"],
    ),
    // compat.md
    (
        "the report, byte for byte; jobs that will not be restarted are left out; several",
        &[
            "a_report_is_the_host_and_a_line_a_job",
            "jobs_that_have_ended_and_will_not_be_restarted_are_left_out",
            "each_report_to_has_the_address_of_its_own_interface",
            "every_report_to_gets_one_by_ipv6_too",
        ],
    ),
    (
        "verbs may be mixed; unknown job names are ignored with a log line",
        &["verbs_are_mixed_and_white_space_does_not_matter", "a_bad_datagram_is_a_line_in_the_log"],
    ),
    (
        "jobs start whatever happens to UDP; a name is looked up outside the loop; both are tried again",
        &[
            "jobs_start_whatever_there_is_about_udp",
            "a_mute_name_server_costs_a_process_and_nothing_else",
            "a_name_that_is_unknown_is_told_once_and_looked_up_again",
            "a_busy_port_is_told_once_and_tried_again",
        ],
    ),
    ("all listeners are read", &["all_listeners_are_read_ipv6_too"]),
    ("a trailing newline is white space", &["verbs_are_mixed_and_white_space_does_not_matter"]),
    ("0 for a job that does not run", &["a_report_is_the_host_and_a_line_a_job"]),
    (
        "split reports at line ends, each datagram with its report line",
        &["a_report_that_is_too_long_is_split_at_line_ends"],
    ),
    (
        "a datagram of any size overflows nothing",
        &["hostile_datagrams_change_nothing_and_are_told_rarely"],
    ),
    ("a refused reload changes nothing", &["a_refused_reload_keeps_the_sockets"]),
    ("-t looks no host name up", &["looking_at_a_file_looks_no_host_name_up"]),
];

#[test]
fn every_sentence_has_its_tests() {
    let tests = all_tests();
    for (sentence, names) in [MANUAL, LANGUAGE, RUNNING, LOGGING, UDP].concat() {
        assert!(!names.is_empty(), "no test: {sentence}");
        for name in names {
            assert!(tests.contains(*name), "{sentence}: there is no test {name}");
        }
    }
}
