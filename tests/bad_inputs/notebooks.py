"""Parameters of single notebooks, for papermill."""

from __future__ import annotations

from tests.bad_inputs.answers import BadInput

ROWS = [
    BadInput("notebook", f"notebook {number}: {text}", (number, text), (answer,))
    for number, text, answer in [
        ("01", "seedd: 3", "seedd: 3 is not a parameter of this stage; allowed: seed (did you mean it?)"),
        ("01", 'seed: "3"', "seed: '3' (str); allowed: integer"),
        ("01", "languages: en", "languages: 'en' (str); allowed: list"),
        ("01", "languages: [en, false]", "languages.1: False (bool); allowed: string"),
        ("01", "learning_rate: 5e-05", "learning_rate: '5e-05' (str); allowed: number"),
        ("01", "threshold: .nan", "threshold: nan (float); allowed: a finite number"),
        ("01", "columns: {label: topic}", "columns: {'label': 'topic'}; allowed: with files of a data_dir"),
        ("01", "train_sample_seed: -1", "train_sample_seed: -1 (int); allowed: greater than or equal to 0"),
        (
            "02",
            "condition: dense",
            "condition: 'dense' (str); allowed: 'full', 'one_language_batches', 'sft', 'sft_random', "
            "'sft_intersection' or 'sft_union'",
        ),
        ("02", "start_languages: [zz]", "start_languages: 'zz'; allowed: some of en, de, fr"),
        ("03", "top_k: 5000", "top_k: 5000; allowed: at most the 240 training examples"),
        ("03", "mask_kinds: [own]", "mask_kinds: ['own']; allowed: any that include 'none'"),
        (
            "03",
            "other_seed: 0\nmask_kinds: [none, other_seed]",
            "other_seed: 0; allowed: a searched seed other than seed = 0",
        ),
        (
            "03",
            "languages: [de]\nmask_kinds: [none, pooled_others]",
            "mask_kinds: 'pooled_others'; allowed: with more languages than de",
        ),
        (
            "03",
            "train_gradient_masks: [own_language]",
            "train_gradient_masks: ['own_language']; allowed: any that include",
        ),
        ("03", "checkpoints: [1, 0]", "checkpoints.1: 0 (int); allowed: greater than or equal to 1"),
        ("03", "accuracy_tolerance: 1", "accuracy_tolerance: 1 (int); allowed: less than 1"),
        ("03", "dose_shares: [0.5, 1.5]", "dose_shares.1: 1.5 (float); allowed: less than 1"),
        ("04", "seeds: []", "seeds: [] (list); allowed: at least 1 item"),
        ("04", "confidence: 95", "confidence: 95 (int); allowed: less than 1"),
        ("05", "studies: []", "studies: [] (list); allowed: at least 1 item"),
        ("06", "condition: sft_random", "condition: 'sft_random' (str); allowed: 'full' or 'sft'"),
        ("06", "languages: [en]", "languages: ['en']; allowed: two or more, since one is left out"),
        ("00", "language: sw", "language: 'sw'; allowed: one of en, de, fr, es, ru"),
        ("00", "cipher_shares: [0, 2]", "cipher_shares.1: 2 (int); allowed: less than or equal to 1"),
    ]
]
