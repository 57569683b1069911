"""Every key of a run, once, with its default; and the presets.

The other files of this folder import `common`, change what is theirs and return the
tree. The comment on a key's line is what `--help` prints for it. The defaults are the
reference's hyperparameters; the presets set what separates one method from another.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the tree of all keys with their defaults."""
    config = ConfigDict()
    config.seed = 0  # decides initial weights, batch order and augmentation
    config.stages = ("regdb", "sysu", "llcm", "vcm")  # datasets, in learning order
    config.modalities = ("visible", "infrared")  # names, in the order of the axis
    config.joint = False  # put all datasets into one stage: the upper bound
    config.eval_only = ()  # datasets that are evaluated and never trained on
    config.eval_every = 0  # epochs between evaluations inside a stage; 0: at its end
    config.carry_classifier = "never"  # never | equal_count: from the last stage
    config.method = "ckda"  # name in ckda_jax.methods.METHODS
    config.compile_cache = "auto"  # folder of compiled steps; "": none

    config.data = data = ConfigDict()
    data.roots = ConfigDict()
    data.roots.regdb = "data/RegDB"  # folder with Visible/ Thermal/ idx/
    data.roots.sysu = "data/SYSU-MM01"  # folder with cam1/ .. cam6/ exp/
    data.roots.llcm = "data/LLCM"  # folder with vis/ nir/ idx/
    data.roots.vcm = "data/HITSZ-VCM"  # folder with Train/ Test/ info/
    data.own = ()  # own datasets: NAME=FOLDER, NAME=TABLE.csv or .parquet, see docs
    data.own_rule = "auto"  # auto | standard | own-camera: how own datasets are scored
    data.trial = 1  # RegDB's split, 1 to 10
    data.max_identities = 0  # training identities per dataset, in label order; 0: all
    data.resample = "direct"  # direct | reference: how images are brought to size
    data.bad_images = "error"  # error | skip: show another one of the same identity
    data.workers = 0  # processes that decode images; no influence on the batches
    data.threads = 4  # threads that decode images; no influence on the batches
    data.cache = 1.0  # GiB of decoded training images kept in memory
    data.synthetic = synthetic = ConfigDict()
    synthetic.enabled = False  # draw a synthetic world into WORKDIR/world and use it
    synthetic.seed = -1  # seed of the world; -1: the run's seed
    synthetic.identities = 48  # training identities per site
    synthetic.test_identities = 24  # test identities per site
    synthetic.images = 8  # training images per identity and modality

    config.model = model = ConfigDict()
    model.image_size = (256, 128)  # height, width in pixels
    model.stem = "patch"  # patch | conv: overlapping patches or stride-2 convolutions
    model.patch_size = 16  # side of a backbone patch in pixels
    model.stride = 12  # step between patches in pixels
    model.width = 768  # channels of a token
    model.depth = 12  # transformer blocks
    model.heads = 12  # attention heads
    model.mlp_ratio = 4.0  # hidden width of a block's MLP over the token width
    model.dropout = 0.03  # after embeddings, projections and both MLP layers
    model.attention_dropout = 0.0  # on attention weights
    model.drop_path = 0.1  # stochastic depth of the last block; rises linearly to it
    model.epsilon = 1e-5  # of every layer norm
    model.dtype = "float32"  # float32 | bfloat16: what the forward pass computes in
    model.remat = False  # recompute blocks in the backward pass: less memory, more time

    config.prompts = prompts = ConfigDict()
    prompts.patch_size = 16  # side of a prompt patch; must divide the image size
    prompts.common_width = 8  # hidden channels of the modality-common generator
    prompts.specific_width = 16  # hidden channels of each modality-specific generator
    prompts.dropout = 0.1  # on both prompts while training
    prompts.compare = "clean"  # clean | train: student prompts held to the teacher's
    prompts.weight = 1.0  # of the prompt consistency loss

    config.norm = norm = ConfigDict()
    norm.eval_statistics = "running"  # running | instance: common prompt at test time

    config.init = init = ConfigDict()
    init.weights = ""  # .safetensors, .npz or .pth file, asset:NAME, hub:ID; "": random
    init.allow_missing = ""  # regex of model entries that the file may lack
    init.allow_extra = r"head(_dist)?\..*|pre_logits\..*|dist_token"  # ignored

    config.train = train = ConfigDict()
    train.identities = 8  # identities in a batch
    train.images = 4  # images per identity and modality in a batch
    train.micro_batches = 1  # parts a batch is encoded in: less memory, more time
    train.epochs = 50  # epochs of every stage
    train.steps = 0  # per epoch and dataset; 0: largest modality's images // rows + 1
    train.log_every = 20  # steps between lines of the log
    train.gradients_every = 0  # steps between gradient shares, one process; 0: never
    train.checkpoint_every = 500  # steps between checkpoints inside a stage
    train.keep_checkpoints = 2  # newest inside stages that are kept, beside the best
    train.skip_nonfinite = 0  # steps of a stage left out for not being finite
    train.step_limit = 1800.0  # seconds a step may take, compiling included; 0: any

    config.mesh = mesh = ConfigDict()
    mesh.model = 1  # neighbouring devices that share out wide parameters
    mesh.parameters = "replicated"  # replicated | fsdp: shared out over the others
    mesh.large = 65536  # numbers from which on an array is shared out

    config.optim = optim = ConfigDict()
    optim.lr = 3e-4  # base learning rate
    optim.pretrained_lr_factor = 0.5  # of patch embedding and blocks
    optim.lr_min = 3e-6  # learning rate at the end, and where the warm-up starts
    optim.warmup_epochs = 3  # epochs of linear warm-up
    optim.weight_decay = 1e-4  # decoupled, on every parameter
    optim.clip_norm = 0.0  # largest global gradient norm; 0: no clipping

    config.augment = augment = ConfigDict()
    augment.flip = 0.5  # probability of a horizontal flip
    augment.infrared = True  # jitter or blur every infrared image
    augment.brightness = 0.3  # strength of infrared brightness jitter
    augment.contrast = 0.3  # strength of infrared contrast jitter
    augment.blur_sigma = (0.1, 3.0)  # range of the infrared blur in pixels
    augment.mean = (0.485, 0.456, 0.406)  # subtracted per channel, on the 0 to 1 scale
    augment.std = (0.229, 0.224, 0.225)  # divided by per channel
    config.erasing = erasing = ConfigDict()
    erasing.probability = 0.5  # of random erasing
    erasing.fill = "imagenet_mean"  # imagenet_mean | zero: after normalisation

    config.identity = identity = ConfigDict()
    identity.weight = 1.0  # of the identity loss
    config.triplet = triplet = ConfigDict()
    triplet.weight = 1.0  # of the batch-hard triplet loss
    triplet.margin = 0.1  # of every triplet loss
    triplet.normalize = False  # compare unit features; from random weights: True
    triplet.start_epoch = 1  # first epoch with triplets; from random weights: later
    config.contrastive = contrastive = ConfigDict()
    contrastive.weight = 0.0  # of a supervised contrastive term; from random weights: 1
    contrastive.temperature = 0.1  # divides its cosine similarities
    config.centres = centres = ConfigDict()
    centres.weight = 0.5  # of the centre triplet loss
    centres.unique = True  # one centre per identity; False: one per image
    config.cross = cross = ConfigDict()
    cross.weight = 0.5  # of the loss between features and the other modality's centres
    cross.anchor = "centre"  # centre | sample: what anchors its infrared half
    config.alignment = alignment = ConfigDict()
    alignment.weight = 1.0  # of both alignment losses
    alignment.inter_weight = 0.5  # share of the inter-modality space, the rest is intra
    alignment.temperature = 0.1  # divides similarities to prototypes
    alignment.relation = "direct"  # direct | pairwise: what the two models agree on
    alignment.relation_temperature = 0.1  # divides pairwise relations
    alignment.student_space = "neck"  # neck | feature: student side of the alignment
    config.prototypes = prototypes = ConfigDict()
    prototypes.infrared_from = "infrared"  # infrared | visible, or DATASET:visible
    config.merge = merge = ConfigDict()
    merge.old_weight = 0.7  # weight of the previous model at a stage's end

    config.eval = evaluation = ConfigDict()
    evaluation.modality = "own"  # own | swapped, or DATASET:swapped: prompts at test
    evaluation.before = True  # also score the starting weights, as stage 0
    evaluation.unseen = True  # also score datasets that are learned later
    evaluation.batch = 128  # images per evaluation batch
    evaluation.seed = 0  # of the first randomly drawn gallery; the next is one more
    evaluation.protocols = ("lifelong",)  # NAME, DATASET/NAME or all, see docs
    evaluation.galleries = "seeded"  # seeded | permutation: SYSU's published galleries
    evaluation.permutations = ""  # SYSU's rand_perm_cam.mat; "": in its exp/
    config.report = report = ConfigDict()
    report.images = True  # False: identities and cameras instead of licensed images
    report.queries = 4  # queries shown per dataset
    return config.lock()


def ckda(config: ConfigDict) -> ConfigDict:
    """The method as the paper describes it: the defaults."""
    return config


def reference(config: ConfigDict) -> ConfigDict:
    """What the released code computes, its errors in model and losses included."""
    config.carry_classifier = "equal_count"
    config.data.max_identities = 500
    config.data.resample = "reference"
    config.prompts.compare = "train"
    config.centres.unique = False
    config.alignment.relation = "pairwise"
    config.alignment.relation_temperature = 10.0
    config.alignment.student_space = "feature"
    config.prototypes.infrared_from = "regdb:visible"
    config.eval.modality = "llcm:swapped"
    return config


def finetune(config: ConfigDict) -> ConfigDict:
    """Each stage trained on its own data alone, nothing protected: the lower bound."""
    config.method = "finetune"
    return config


def joint(config: ConfigDict) -> ConfigDict:
    """All datasets in one stage: the upper bound."""
    config.method = "finetune"
    config.joint = True
    return config


PRESETS = {"ckda": ckda, "reference": reference, "finetune": finetune, "joint": joint}
