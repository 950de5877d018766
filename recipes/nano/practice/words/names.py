"""First names and surnames of many cultures."""

from ..core import lexicon

FIRST = lexicon("""
Aaron, Abena, Abigail, Ada, Adele, Adrian, Agnes, Ahmed, Aiko, Aisha, Akira, Alan, Albert, Alejandro, Alex, Alice
Alina, Amara, Amelia, Amina, Amir, Ana, Anders, Andre, Anika, Anna, Anton, Anya, Aoife, April, Arjun, Arthur, Asha
Astrid, Ayesha, Barbara, Basil, Beatriz, Ben, Benedict, Bernard, Beth, Bianca, Bilal, Birgit, Boris, Brenda, Brian
Bridget, Bruno, Caleb, Callum, Camila, Carla, Carlos, Carmen, Caroline, Cecilia, Chandra, Charles, Chen, Chiara
Chloe, Christina, Ciara, Clara, Claude, Colin, Connor, Cora, Cyril, Daisy, Dalia, Damian, Daniel, Daria, David
Deborah, Deepak, Delia, Denis, Derek, Devi, Diana, Diego, Dina, Dmitri, Dolores, Dominic, Dora, Doris, Duncan, Dylan
Edgar, Edith, Eduardo, Edwin, Eileen, Elena, Eli, Elias, Elif, Ella, Ellen, Elsa, Emeka, Emil, Emily, Emma, Enrique
Erik, Esther, Ethan, Eva, Evelyn, Fatima, Felix, Femi, Fergus, Fiona, Florence, Frances, Francois, Frank, Freya
Gabriel, Gareth, Gemma, Georg, George, Georgia, Gianni, Gloria, Grace, Greta, Guido, Gunnar, Hadiya, Hamza, Hana
Hannah, Harold, Haruki, Hassan, Hazel, Hector, Heidi, Helen, Henrik, Henry, Hiroshi, Hugo, Ibrahim, Ida, Ifeoma
Ignacio, Imani, Imran, Ines, Ingrid, Irene, Iris, Isaac, Isabel, Ivan, Ivy, Jacob, Jamal, James, Jana, Jane, Jasmine
Javier, Jean, Jenny, Jerome, Jesse, Jin, Joan, Joanna, Johan, John, Jonas, Jorge, Joseph, Joyce, Juan, Judith, Julia
Julian, June, Jurgen, Kai, Kamala, Karen, Karim, Karl, Kasper, Katarina, Kate, Keith, Kenji, Kerry, Kevin, Khadija
Kiran, Kofi, Kristin, Kwame, Lakshmi, Lara, Lars, Latifa, Laura, Leah, Leila, Lena, Leo, Leonor, Liam, Lidia, Lila
Linda, Ling, Lionel, Lisa, Lorenzo, Louis, Lucia, Lucy, Luis, Lukas, Lydia, Mabel, Magnus, Mahmoud, Maja, Malcolm
Malik, Manuel, Marco, Margaret, Maria, Marie, Marina, Mario, Marta, Martin, Mary, Mateo, Matilda, Maurice, Max, May
Mehmet, Mei, Melissa, Mercy, Mia, Michael, Miguel, Mila, Milan, Miriam, Mohan, Mona, Monica, Morgan, Muriel, Musa
Nadia, Naomi, Natalia, Nathan, Neil, Nell, Ngozi, Niamh, Nicholas, Nicola, Nikhil, Nina, Noah, Noor, Nora, Norman
Olga, Oliver, Olivia, Omar, Oscar, Otto, Owen, Pablo, Pamela, Parvati, Patricia, Paul, Pavel, Pedro, Penelope, Percy
Peter, Petra, Philip, Phoebe, Pierre, Pilar, Piotr, Priya, Rachel, Rafael, Rahul, Raj, Ralph, Ramon, Rania, Rashid
Raymond, Rebecca, Reza, Ricardo, Rita, Robert, Robin, Rosa, Rose, Rosalind, Rowan, Ruben, Rupert, Ruth, Ryan, Sabine
Saida, Salim, Samira, Samuel, Sandra, Sanjay, Sara, Saul, Sean, Selma, Serena, Sergei, Seth, Shanti, Sharon, Sheila
Sigrid, Silvia, Simon, Sina, Sofia, Sonia, Soren, Stefan, Stella, Stephen, Sunita, Susan, Sven, Sylvia, Tadeusz
Takeshi, Tamara, Tanya, Tara, Tariq, Tatiana, Teresa, Theo, Thomas, Tilda, Tobias, Tomas, Tova, Trevor, Ulrich, Uma
Ursula, Usha, Valeria, Vera, Veronica, Victor, Vijay, Vikram, Vincent, Viola, Violet, Vivian, Wanda, Wei, Wendy
Wilhelm, William, Winston, Xavier, Ximena, Yan, Yara, Yasmin, Yolanda, Yosef, Yuki, Yusuf, Yvonne, Zainab, Zara
Zeynep, Zoe, Zofia, Zoran
""")

LAST = lexicon("""
Abbott, Abdullah, Achebe, Adams, Adeyemi, Aguilar, Ahmadi, Akhtar, Alvarez, Andersen, Appiah, Archer, Arslan, Asante
Ashby, Atkins, Bailey, Bakker, Baldwin, Banerjee, Barnes, Barros, Bauer, Becker, Bellini, Bennett, Berg, Bhatt
Bianchi, Bishop, Blake, Bloom, Boateng, Bondarenko, Booth, Bose, Bowen, Boyle, Brandt, Brennan, Briggs, Brooks
Bryant, Burke, Burns, Byrne, Cabrera, Calder, Campbell, Cardoso, Carr, Carter, Castillo, Chan, Chaudhry, Chavez
Choi, Clarke, Cohen, Coleman, Conti, Cooper, Costa, Crane, Cruz, Cunningham, Dahl, Dalton, Das, Davies, Dawson
Delgado, Demir, Desai, Diallo, Diaz, Dixon, Dlamini, Dobson, Donnelly, Dubois, Duffy, Dunn, Eaton, Eklund, Ellis
Eriksen, Espinoza, Evans, Fairchild, Farah, Farrell, Faulkner, Ferrari, Fischer, Fitzgerald, Fleming, Flores
Fontaine, Forsyth, Foster, Fraser, Fujita, Gallagher, Garcia, Gardner, Garrett, Ghosh, Gibson, Gill, Goldberg, Gomez
Goncalves, Gordon, Graham, Granger, Greco, Greene, Griffin, Gupta, Haas, Haddad, Hale, Hall, Hamid, Hansen, Harding
Harper, Hartmann, Hassan, Hawkins, Hayashi, Hayes, Hernandez, Higgins, Hoang, Hoffmann, Holm, Holmes, Hopkins
Horvath, Howell, Hughes, Hussain, Hutton, Ibarra, Inoue, Iqbal, Ito, Ivanov, Iyer, Jackson, Jafari, Jansen, Jarvis
Jensen, Jimenez, Johansson, Jordan, Joshi, Kamau, Kang, Kapoor, Kaur, Keller, Kelly, Kennedy, Khan, Kimura, King
Kipling, Klein, Knight, Kobayashi, Koch, Kovacs, Kowalski, Kozlov, Kramer, Krause, Kumar, Lambert, Lang, Larsen
Lawson, Lee, Leblanc, Leclerc, Lehmann, Leone, Levy, Lindberg, Lindgren, Little, Lopez, Lowe, Lund, Lynch, Macdonald
Mahler, Malik, Mancini, Marchetti, Marino, Marsh, Martinez, Mbeki, McBride, McCarthy, McLeod, Medina, Mehta, Mendes
Mendoza, Meyer, Miller, Mishra, Mitchell, Molina, Moore, Morales, Moretti, Mori, Morris, Moyo, Mueller, Murphy
Mwangi, Nair, Nakamura, Navarro, Ndlovu, Nelson, Newman, Ng, Nguyen, Nielsen, Noble, Nowak, Nunez, Nwosu, Obi
Odhiambo, Okafor, Okoye, Oliveira, Olsen, Omar, Ortega, Osman, Otieno, Owens, Ozturk, Palmer, Papadakis, Park
Parsons, Patel, Pereira, Perez, Peters, Petrov, Pham, Phillips, Pinto, Popescu, Porter, Powell, Prasad, Price, Quinn
Rahman, Ramirez, Ramos, Rao, Reed, Reyes, Rhodes, Ricci, Richter, Riley, Rivera, Roberts, Robles, Rojas, Romano
Rossi, Roy, Ruiz, Russo, Sahin, Saito, Salazar, Sanchez, Sanders, Santos, Sato, Schmidt, Schneider, Schulz, Shah
Shapiro, Sharma, Shaw, Sheikh, Silva, Singh, Sinclair, Smirnov, Soares, Sokolov, Soto, Spencer, Stein, Stone, Suarez
Sullivan, Suzuki, Svensson, Tanaka, Taylor, Thapa, Thorne, Tran, Trujillo, Tucker, Turner, Usman, Vance, Vargas
Vasquez, Verma, Vidal, Vogel, Volkov, Wagner, Walker, Wallace, Walsh, Wang, Ward, Watanabe, Weber, Weiss, West
Whitaker, Winkler, Wolf, Wood, Wright, Wu, Yamada, Yang, Yates, Yilmaz, Young, Zhang, Zhou, Zimmermann
""")
