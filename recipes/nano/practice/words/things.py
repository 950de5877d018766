"""Objects, foods, plants, animals, colours, jobs, subjects, moods."""

from ..core import lexicon

OBJECT = lexicon("""
anchor, apron, armchair, axe, backpack, badge, bag, balloon, banner, barrel, basket, bathtub, battery, bell, belt
bench, bicycle, binoculars, blanket, blender, board, bolt, book, bookcase, boot, bottle, bowl, box, bracelet, brick
briefcase, broom, brush, bucket, buckle, button, cabinet, cable, calculator, calendar, camera, candle, canoe, canvas
card, carpet, cart, cartridge, case, chain, chair, chalk, chart, chest, chisel, clamp, clock, cloak, coat, coin
comb, compass, cooler, copper kettle, cork, cradle, crate, crayon, crown, cup, curtain, cushion, desk, dial, diary
dictionary, dish, doll, drawer, dress, drill, drum, duvet, earring, easel, engine, envelope, eraser, fan, feather
fence, fiddle, file, filter, fishing rod, flag, flask, flute, folder, fork, frame, freezer, funnel, gate, gear
glass, globe, glove, glue stick, goblet, grater, guitar, hammer, hammock, handbag, handle, hanger, harness, harp
hat, headset, helmet, hinge, hook, hose, hourglass, ink bottle, iron, jacket, jar, jersey, jug, kayak, kettle, key
keyboard, kite, knapsack, knife, label, ladder, ladle, lamp, lantern, laptop, latch, lawn mower, ledger, lens
letter, lever, lid, lighter, locket, loom, lunchbox, magazine, magnet, mallet, manual, map, marble, mask, mat
mattress, medal, microscope, mirror, mitten, mop, motor, mouse pad, mug, nail, napkin, necklace, needle, net
notebook, nozzle, oar, oven glove, paddle, padlock, paintbrush, painting, pan, parachute, parasol, parcel, passport
pedal, pen, pencil, pendant, piano, picture, pillow, pin, pipe, plank, plate, pliers, plug, pocket watch, poster
pot, pouch, printer, projector, pulley, pump, puppet, purse, puzzle, quilt, racket, radio, raft, rag, rake, razor
receipt book, record, ribbon, ring, rocking chair, rope, rucksack, rug, ruler, saddle, safe, sail, sandal, saucepan
saw, scale, scarf, scissors, screen, screw, screwdriver, shawl, shelf, shield, shirt, shoe, shovel, sieve, sign
sink, skateboard, sketchbook, ski, skirt, sledge, sleeping bag, slipper, soap dish, sock, sofa, spade, spanner
speaker, sponge, spoon, stamp, stapler, statue, stool, stove, strap, string, suitcase, sweater, swing, switchboard
tablecloth, tablet, tape measure, tarpaulin, teapot, telescope, tent, thermometer, thimble, thread, ticket, tie
tile, timer, toaster, toolbox, torch, towel, toy train, trailer, tray, tripod, trophy, trousers, trumpet, trunk, tub
tumbler, tweezers, typewriter, umbrella, uniform, vase, veil, vest, violin, wagon, wallet, wardrobe, washer, watch
watering can, wheel, wheelbarrow, whisk, whistle, wig, wire, wrench, yarn, zip
""")

FOOD = lexicon("""
almonds, apples, apricots, bacon, bagels, bananas, barley, basil, beans, beef, beetroot, biscuits, blueberries
bread, broccoli, butter, cabbage, cake, candied peel, carrots, cashews, celery, cheese, cherries, chicken, chickpeas
chilli, chocolate, cider, cinnamon, coconut, cod, coffee, corn, couscous, crackers, cream, crisps, cucumbers
currants, curry paste, dates, dumplings, eggs, fennel, figs, flour, garlic, ginger, grapes, ham, hazelnuts, honey
hummus, ice cream, jam, kale, ketchup, lamb, leeks, lemons, lentils, lettuce, lime juice, lobster, mackerel, mangoes
maple syrup, marmalade, melons, milk, mint, muesli, mushrooms, mussels, mustard, noodles, nutmeg, oats, olive oil
olives, onions, oranges, oregano, pancakes, paprika, parsley, pasta, peaches, peanuts, pears, peas, pepper, pickles
pies, pineapple, plums, popcorn, pork, porridge, potatoes, prawns, pumpkin, quinoa, radishes, raisins, raspberries
rhubarb, rice, rosemary, rye rolls, saffron, salad, salmon, salt, sardines, sausages, scones, sesame seeds, soup
soy sauce, spinach, strawberries, sugar, sultanas, tea, thyme, toast, tofu, tomatoes, tortillas, tuna, turkey
vanilla, vinegar, waffles, walnuts, water biscuits, wraps, yeast, yoghurt
""")

PLANT = lexicon("""
roses, tomatoes, ferns, tulips, basil pots, orchids, cactus, lavender, sunflowers, ivy, peppers, bean rows, herbs
lilies, dahlias, geraniums, daffodils, hydrangea, jasmine, begonias, marigolds, violets, lemon tree, apple tree
fig tree, bonsai, hedge, lawn, strawberry bed, pansies, petunias, fuchsia, poppies, magnolia, rubber plant
peace lily, aloe, mint bed, courgettes, vines
""")

ANIMAL = lexicon("""
alpaca, badger, bat, bear, beaver, bee, bison, boar, budgie, buffalo, camel, canary, cat, cheetah, chick, cobra
cockatoo, cow, crab, crane, crocodile, crow, deer, dingo, dog, dolphin, donkey, dove, duck, eagle, eel, elephant
falcon, ferret, finch, fox, frog, gazelle, gecko, gerbil, giraffe, goat, goldfish, goose, gorilla, grasshopper
guinea pig, gull, hamster, hare, hawk, hedgehog, hen, heron, horse, iguana, jackal, kangaroo, kitten, koala, lamb
leopard, lion, lizard, llama, lynx, magpie, mole, monkey, moose, moth, mouse, mule, newt, octopus, otter, owl, ox
panda, parrot, peacock, pelican, penguin, pheasant, pig, pigeon, pony, puffin, puppy, python, rabbit, raccoon, rat
raven, reindeer, robin, rooster, salamander, seal, shark, sheep, skunk, sloth, snail, snake, sparrow, squirrel
stork, swan, tiger, toad, tortoise, trout, turkey hen, turtle, vulture, walrus, wasp, weasel, whale, wolf, wombat
woodpecker, yak, zebra
""")

COLOUR = lexicon("""
amber, beige, black, blue, bronze, brown, burgundy, charcoal, copper, coral, cream, crimson, cyan, emerald, gold
green, grey, indigo, ivory, khaki, lemon, lilac, lime, magenta, maroon, mauve, mint, mustard, navy, ochre, olive
orange, peach, pink, plum, purple, red, rose, ruby, rust, salmon, sand, scarlet, silver, tan, teal, turquoise
violet, white, yellow
""")

MATERIAL = lexicon("""
wooden, leather, cotton, steel, brass, plastic, paper, velvet, woollen, glass, clay, marble, bamboo, rubber, silk
canvas, denim, iron, tin, porcelain, straw, concrete, oak, pine, linen, stone, cardboard, felt, copper, ceramic
""")

QUALITY = lexicon("""
old, new, small, large, heavy, light, broken, spare, clean, dusty, folded, cracked, borrowed, expensive, cheap
round, narrow, empty, full, damp, dry, sturdy, flimsy, shiny, faded, handmade, rusty, padded, striped, plain
polished, crooked, rare, ordinary, huge, tiny, square, tall, wide, smooth, rough, quiet, noisy, gentle, clever
careful, bold, calm, curious, lively, proud, strange
""")

JOB = lexicon("""
accountant, actor, architect, archivist, artist, baker, barber, beekeeper, biologist, blacksmith, bookbinder
bricklayer, builder, butcher, captain, caretaker, carpenter, cashier, chef, chemist, cleaner, clerk, clockmaker
coach, cobbler, composer, conductor, cook, courier, curator, dancer, dentist, designer, detective, diver, doctor
driver, editor, electrician, engineer, farmer, film director, firefighter, fisherman, florist, gardener, geologist
glazier, goldsmith, guard, guide, hairdresser, historian, inspector, interpreter, janitor, jeweller, joiner
journalist, judge, lawyer, lecturer, librarian, lifeguard, locksmith, mason, mechanic, midwife, miller, miner
musician, nurse, optician, painter, pharmacist, photographer, pianist, pilot, plumber, poet, porter, postman, potter
printer's apprentice, professor, programmer, ranger, receptionist, reporter, roofer, sailor, sculptor, secretary
shepherd, shopkeeper, singer, soldier, surgeon, surveyor, tailor, teacher, translator, tutor, vet, waiter
watchmaker, weaver, welder, writer, zoologist
""")

SUBJECT = lexicon("""
algebra, archaeology, astronomy, baking, beekeeping, birdwatching, bookbinding, botany, calligraphy, chemistry
chess, choir, computing, cycling, dance, drama, drawing, economics, embroidery, fencing, film, fishing, first aid
French, gardening, geography, German, gymnastics, hiking, history, Italian, jazz, judo, juggling, karate, knitting
Latin, law, Mandarin, mathematics, painting, philosophy, photography, physics, pilates, poetry, pottery, psychology
rowing, sailing, sculpture, sewing, skating, Spanish, statistics, swimming, table tennis, theatre, volleyball
weaving, woodwork, yoga, zoology
""")

GENRE = lexicon("""
jazz, blues, folk, techno, opera, reggae, soul, rock, punk, disco, country, classical, ambient, swing, funk, gospel
metal, house, bossa nova, flamenco, ska, baroque, samba, indie, hip hop, film music, brass band, lullabies, tango
choral
""")

ILL = lexicon("""
headache, fever, sore throat, back pain, cough, sprained ankle, toothache, rash, cold, earache, stiff neck, blister
burn, migraine, swollen knee, cramp, hay fever, bruise, upset stomach, cut finger
""")
